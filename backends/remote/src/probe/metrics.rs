//! Finds a few numbers in a text of the Prometheus format.
//!
//! Reads line by line and keeps nothing: a text may hold any number of series, and what is no series is passed over. The
//! format: prometheus.io/docs/instrumenting/exposition_formats.

/// The name of a metric, and the labels that a series of it must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector {
    name: String,
    labels: Vec<(String, String)>,
}

impl Selector {
    /// From `name` or `name{label=value,label=value}`.
    pub(super) fn new(text: &str) -> Self {
        let (name, labels) = text.split_once('{').unwrap_or((text, ""));
        let pairs = labels.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
        let pairs = pairs.map(|(label, value)| (label.trim().to_owned(), value.trim().trim_matches('"').to_owned()));
        Self { name: name.to_owned(), labels: pairs.collect() }
    }
}

/// The sum of the series that the first of these selectors finds, of those that find any.
pub(super) fn sum(text: &[u8], selectors: &[Selector]) -> Option<f64> {
    first(text, selectors, |a, b| a + b)
}

/// The greatest of them.
pub(super) fn greatest(text: &[u8], selectors: &[Selector]) -> Option<f64> {
    first(text, selectors, f64::max)
}

fn first(text: &[u8], selectors: &[Selector], join: impl Fn(f64, f64) -> f64 + Copy) -> Option<f64> {
    selectors.iter().find_map(|selector| {
        let lines = text.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
        lines.filter_map(|line| value(line.trim(), selector)).reduce(join)
    })
}

/// The value of a line, if it is a series that the selector means, and a number.
fn value(line: &str, selector: &Selector) -> Option<f64> {
    let rest = line.strip_prefix(&*selector.name)?;
    let rest = match rest.strip_prefix('{') {
        Some(labels) => {
            let (has, rest) = walk(labels)?;
            let meant = selector
                .labels
                .iter()
                .all(|wanted| has.iter().any(|(label, value)| (*label, value) == (&*wanted.0, &wanted.1)));
            if !meant {
                return None;
            }
            rest
        }
        None if selector.labels.is_empty() && rest.starts_with([' ', '\t']) => rest,
        None => return None,
    };
    // A time may follow.
    rest.split_whitespace().next()?.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// The labels of a series, and what comes behind their brace; `None` if they are broken.
fn walk(mut text: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (label, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut letters = rest.char_indices();
        loop {
            match letters.next()? {
                (at, '"') => {
                    text = &rest[at + 1..];
                    break;
                }
                (_, '\\') => value.push(match letters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, letter) => value.push(letter),
            }
        }
        labels.push((label.trim(), value));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(names: &[&str]) -> Vec<Selector> {
        names.iter().map(|name| Selector::new(name)).collect()
    }

    /// As vLLM prints it, with two engines.
    const VLLM: &str = "\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine=\"0\",model_name=\"Qwen/Qwen3-32B\"} 8.0
vllm:num_requests_running{engine=\"1\",model_name=\"Qwen/Qwen3-32B\"} 4.0
vllm:num_requests_running_total 99
vllm:num_requests_waiting{engine=\"0\",model_name=\"a \\\"b\\\", c}\"} 1e1 1700000000000
vllm:gpu_cache_usage_perc{engine=\"0\"} 0.25
vllm:gpu_cache_usage_perc{engine=\"1\"} 0.75
vllm:broken{engine=\"0\" 5
vllm:nothing NaN
";

    #[test]
    fn series_of_one_name_are_added_up_and_the_fullest_cache_counts() {
        let sum = |name| sum(VLLM.as_bytes(), &of(&[name]));
        assert_eq!(sum("vllm:num_requests_running"), Some(12.0));
        assert_eq!(sum("vllm:num_requests_waiting"), Some(10.0), "a time behind the value is none of it");
        assert_eq!(greatest(VLLM.as_bytes(), &of(&["vllm:gpu_cache_usage_perc"])), Some(0.75));
        assert_eq!((sum("vllm:broken"), sum("vllm:nothing"), sum("vllm:num_requests")), (None, None, None));
    }

    #[test]
    fn the_first_name_that_is_there_counts() {
        let names = of(&["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"]);
        assert_eq!(greatest(VLLM.as_bytes(), &names), Some(0.75));
        let both = format!("{VLLM}vllm:kv_cache_usage_perc 0.5\n");
        assert_eq!(greatest(both.as_bytes(), &names), Some(0.5));
    }

    #[test]
    fn a_selector_may_ask_for_labels() {
        let text = "r{request_type=\"waiting\",model=\"m\"} 3\nr{request_type=\"scheduled\",model=\"m\"} 5\nr 7\n";
        let sum = |name| sum(text.as_bytes(), &of(&[name]));
        assert_eq!(sum("r{request_type=waiting}"), Some(3.0));
        assert_eq!(sum("r{model=m, request_type=\"scheduled\"}"), Some(5.0));
        assert_eq!((sum("r{model=n}"), sum("r")), (None, Some(15.0)));
    }

    #[test]
    fn the_catalogs_names_for_triton_find_what_it_prints_with_and_without_tensorrt_llm() {
        let catalog = catalog::Catalog::builtin();
        let names = &catalog.server("triton").unwrap().metrics;
        let of = |names: &[String]| names.iter().map(|name| Selector::new(name)).collect::<Vec<_>>();
        let waiting = |text: &str| sum(text.as_bytes(), &of(&names.waiting));
        let plain = "nv_inference_pending_request_count{model=\"m\",version=\"1\"} 4\n";
        assert_eq!(waiting(plain), Some(4.0));
        let llm = format!(
            "{plain}nv_trt_llm_request_metrics{{model=\"m\",request_type=\"waiting\",version=\"1\"}} 2\n\
             nv_trt_llm_request_metrics{{model=\"m\",request_type=\"scheduled\",version=\"1\"}} 6\n\
             nv_trt_llm_kv_cache_block_metrics{{kv_cache_block_type=\"fraction\",model=\"m\",version=\"1\"}} 0.4\n"
        );
        assert_eq!((waiting(&llm), sum(llm.as_bytes(), &of(&names.running))), (Some(2.0), Some(6.0)));
        assert_eq!(greatest(llm.as_bytes(), &of(&names.cache_used)), Some(0.4));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in prop::collection::vec(any::<u8>(), 0..300), name in "\\PC{0,20}") {
            let mut line = name.clone().into_bytes();
            line.extend_from_slice(&text);
            sum(&line, &of(&[&name]));
        }

        #[test]
        fn a_series_is_found_whatever_its_labels_hold(
            labels in prop::collection::btree_map("[a-z]{1,5}", "\\PC{0,8}", 0..4), value in -1e9..1e9f64, noise in "\\PC*",
        ) {
            let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let all: Vec<_> = labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
            let text = format!("# {noise}\nwanted{{{}}} {value}\n", all.join(","));
            prop_assert_eq!(sum(text.as_bytes(), &of(&["wanted"])), Some(value));
            let selector = Selector { name: "wanted".into(), labels: labels.into_iter().collect() };
            prop_assert_eq!(sum(text.as_bytes(), &[selector]), Some(value));
        }
    }
}
