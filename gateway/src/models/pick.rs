//! Which files of a repository make the model that is asked for: one GGUF file, or all parts of a split one.

use std::collections::BTreeMap;

use super::hub::Offered;

/// The most parts of a split model.
const MOST_PARTS: u32 = 999;

/// The files of a model, parts in their order.
///
/// # Errors
/// None is named and there are several, or the named one is not there: the message lists what there is.
pub fn pick(offered: &[Offered], named: Option<&str>) -> Result<Vec<Offered>, String> {
    // A split model stands under its first part.
    let mut models: BTreeMap<&str, Vec<&Offered>> = BTreeMap::new();
    for file in offered.iter().filter(|file| file.path.ends_with(".gguf")) {
        models.entry(stem(&file.path)).or_default().push(file);
    }
    let list = || {
        let names: Vec<String> = models.values().map(|files| format!("  {}", files[0].path.escape_debug())).collect();
        names.join("\n")
    };
    let found = match named {
        Some(named) => {
            models.get(stem(named)).filter(|files| files.iter().any(|file| file.path == named || stem(named) == named))
        }
        None if models.len() == 1 => models.values().next(),
        None if models.is_empty() => return Err("it has no GGUF file".to_owned()),
        None => return Err(format!("it has several; name one after a colon:\n{}", list())),
    };
    let Some(files) = found else {
        let named = named.unwrap_or_default().escape_debug();
        return Err(match models.is_empty() {
            true => format!("it has no file `{named}`, and no other GGUF file"),
            false => format!("it has no file `{named}`; it has\n{}", list()),
        });
    };
    let mut files: Vec<Offered> = files.iter().map(|file| (*file).clone()).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let parts: Vec<_> = files.iter().filter_map(|file| part(&file.path)).collect();
    let whole = match parts.first() {
        None => files.len() == 1,
        Some((_, of)) => parts.iter().copied().eq((1..=*of).map(|part| (part, *of))) && parts.len() == files.len(),
    };
    if !whole {
        let there: Vec<_> = files.iter().map(|file| file.path.escape_debug().to_string()).collect();
        return Err(format!("parts of the model are missing; there are only {}", there.join(", ")));
    }
    Ok(files)
}

/// The path without `.gguf`, and without the number of a part.
pub fn stem(path: &str) -> &str {
    let plain = path.strip_suffix(".gguf").unwrap_or(path);
    if part(path).is_some() { &plain[..plain.len() - "-00001-of-00003".len()] } else { plain }
}

/// Which part it is, and of how many.
fn part(path: &str) -> Option<(u32, u32)> {
    let plain = path.strip_suffix(".gguf")?;
    let tail = plain.get(plain.len().checked_sub("-00001-of-00003".len())?..)?;
    let (number, of) = tail.strip_prefix('-')?.split_once("-of-")?;
    let digits = |text: &str| (text.len() == 5).then(|| text.parse::<u32>().ok()).flatten();
    let (number, of) = (digits(number)?, digits(of)?);
    (1..=MOST_PARTS).contains(&of).then_some((number, of))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(paths: &[&str]) -> Vec<Offered> {
        let file = |path: &&str| Offered { path: (*path).to_owned(), bytes: 1, sha256: "00".repeat(32) };
        paths.iter().map(file).collect()
    }

    fn picked(paths: &[&str], named: Option<&str>) -> Result<Vec<String>, String> {
        pick(&offered(paths), named).map(|files| files.into_iter().map(|file| file.path).collect())
    }

    #[test]
    fn the_only_model_needs_no_name_and_of_several_one_has_to_be_named() {
        assert_eq!(picked(&["README.md", "a.gguf"], None).unwrap(), ["a.gguf"]);
        let error = picked(&["a-Q4_K_M.gguf", "a-Q8_0.gguf"], None).unwrap_err();
        assert!(error.contains("name one") && error.contains("\n  a-Q4_K_M.gguf\n  a-Q8_0.gguf"), "{error}");
        assert_eq!(picked(&["a.gguf", "b.gguf"], Some("b.gguf")).unwrap(), ["b.gguf"]);
        assert!(picked(&["a.gguf"], Some("c.gguf")).unwrap_err().contains("no file `c.gguf`; it has\n  a.gguf"));
        assert!(picked(&["model.safetensors"], None).unwrap_err().contains("no GGUF file"));
    }

    #[test]
    fn a_split_model_is_all_its_parts_in_order_or_nothing() {
        let parts = ["m-00002-of-00002.gguf", "m-00001-of-00002.gguf", "other.gguf"];
        let whole = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"];
        assert_eq!(picked(&parts, Some("m-00001-of-00002.gguf")).unwrap(), whole);
        assert_eq!(picked(&parts, Some("m-00002-of-00002.gguf")).unwrap(), whole);
        assert_eq!(picked(&parts, Some("m")).unwrap(), whole);
        assert!(picked(&["m-00002-of-00002.gguf"], None).unwrap_err().contains("missing"));
        assert!(picked(&["m-00001-of-00003.gguf", "m-00003-of-00003.gguf"], None).is_err());
    }
}
