use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

#[track_caller]
fn becomes(text: &str, expected: &str) {
    match layout(text) {
        Ok(laid_out) => assert_eq!(laid_out, expected, "\n{laid_out}"),
        Err(error) => panic!("{error}"),
    }
    assert_eq!(layout(expected).as_deref(), Ok(expected), "it is its own layout");
}

#[test]
fn a_file_gets_its_canonical_layout_and_keeps_its_comments() {
    becomes(
        "\
# A file.


version:   1
routes:
# The desk.
-   candidates: [a,
      b]   # in this order
    # For the desk only.
    match:
        team: desk   \n        model:
        - auto
        # - chat
    name: desk
-   name: rest
    candidates:
    - any
tests:
  - {name: one, request: {model: auto}, expect: {}}
  - {name: two, request: {model: auto}, expect: {}}


",
        "\
# A file.

version:   1
routes:
  # The desk.
  - name: desk
    # For the desk only.
    match:
      team: desk
      model:
        - auto
        # - chat
    candidates: [a,
      b]   # in this order

  - name: rest
    candidates:
      - any
tests:
  - {name: one, request: {model: auto}, expect: {}}
  - {name: two, request: {model: auto}, expect: {}}
",
    );
}

#[test]
fn comments_above_a_route_stay_above_it_and_sections_stay_apart() {
    becomes(
        "\
version: 1
routes:
  # --- one ---

  # The first.
  - name: a
    candidates: [any]
  # --- two ---

  # The second,
  # in two lines.
  - # what it is called
    name: b
    candidates: [any]
    # the end
",
        "\
version: 1
routes:
  # --- one ---

  # The first.
  - name: a
    candidates: [any]
  # --- two ---

  # The second,
  # in two lines.
  - # what it is called
    name: b
    candidates: [any]
    # the end
",
    );
}

#[test]
fn the_files_that_ship_have_their_canonical_layout() {
    for (name, text) in [
        ("default", include_str!("../../../config/policies/default.yaml")),
        ("support-bot", include_str!("../../../config/policies/examples/support-bot.yaml")),
        ("research-lab", include_str!("../../../config/policies/examples/research-lab.yaml")),
        ("probes", include_str!("../../../config/policies/probes/default.yaml")),
    ] {
        assert_eq!(layout(text).as_deref(), Ok(text), "{name}");
    }
}

#[test]
fn what_has_no_layout_is_left_alone_with_the_line_that_is_why() {
    let error = |text: &str| layout(text).unwrap_err().to_string();
    assert!(error("version: [1\n").contains("is not YAML"));
    assert!(error("version: 1\nroutes:\n  - name: |\n      a\n      b\n").contains("has a text of several lines"));
    assert!(error("version: 1\nroutes:\n  - - a\n").contains("line 3 has a list right within a list"));
    // An anchor that would come after its alias.
    let text = "version: 1\nroutes:\n  - candidates: &a [x]\n    name: r\n    match: {model: *a}\n";
    assert_eq!(layout(text), Err(LayoutError::Unsafe));
}

/// Files in many hands: indentation, key order, blank lines and comments as they come.
fn written() -> impl Strategy<Value = String> {
    let comment = || prop_oneof![3 => Just(None), 1 => "[a-z #:-]{0,12}".prop_map(Some)];
    let key = select(vec![
        "match: {model: [auto, chat]}",
        "match:\n    model: auto\n    team:\n    - desk\n    - lab",
        "require:\n      license: {max_tier: 2}\n      region:\n       - eu",
        "candidates: [qwen3-32b,\n   any]",
        "candidates:\n- qwen3-32b\n- any",
        "candidates:\n  - qwen3-32b # first\n  # - other\n  - any",
        "prefer: {quality: 1}",
        "attempts: {max: 2}",
        "on_none: refuse",
    ]);
    let route = (vec((key, comment()), 0..5), 0usize..6, 0usize..3, 0usize..3, comment(), comment());
    (vec(route, 1..4), 0usize..3).prop_map(|(routes, column)| {
        let mut text = String::from("version: 1\nroutes:\n");
        for (at, (keys, name_at, after_dash, blank, above, name_comment)) in routes.into_iter().enumerate() {
            let mut keys: Vec<(String, Option<String>)> =
                keys.into_iter().map(|(key, comment)| (key.to_owned(), comment)).collect();
            let mut seen = Vec::new();
            keys.retain(|(key, _)| {
                let name = super::key(key).to_owned();
                let new = !seen.contains(&name);
                seen.push(name);
                new
            });
            keys.insert(name_at.min(keys.len()), (format!("name: r{at}"), name_comment));
            text.push_str(&"\n".repeat(blank));
            text.extend(above.map(|comment| format!("{}# {comment}\n", " ".repeat(column))));
            let inner = " ".repeat(column + 2 + after_dash);
            for (n, (key, comment)) in keys.iter().enumerate() {
                let lead = if n == 0 {
                    format!("{}-{}", " ".repeat(column), " ".repeat(1 + after_dash))
                } else {
                    inner.clone()
                };
                if n > 0 {
                    text.extend(comment.as_ref().map(|comment| format!("{inner}# {comment}\n")));
                }
                text.push_str(&lead);
                text.push_str(&key.replace('\n', &format!("\n{inner}")));
                text.push('\n');
            }
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// What `layout` checks of itself before it answers is checked here from outside, and that it does answer.
    #[test]
    fn whatever_is_written_says_the_same_after_as_before(text in written()) {
        let before = yaml::parse(&text).expect("a generated file");
        let laid_out = match layout(&text) {
            Ok(laid_out) => laid_out,
            Err(error) => return Err(TestCaseError::fail(format!("{error}\n{text}"))),
        };
        prop_assert!(alike(&before, &yaml::parse(&laid_out).unwrap()), "{}", laid_out);
        let (mut old, mut new) = (yaml::comments(&text), yaml::comments(&laid_out));
        old.sort_unstable();
        new.sort_unstable();
        prop_assert_eq!(old, new, "every comment survives");
        prop_assert_eq!(layout(&laid_out), Ok(laid_out.clone()), "it is its own layout");
        for line in laid_out.lines() {
            prop_assert_eq!(line, line.trim_end());
        }
        let names: Vec<_> = laid_out.lines().filter(|line| line.starts_with("  - ")).collect();
        prop_assert!(names.iter().all(|line| line.starts_with("  - name: ")), "{}", laid_out);
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = layout(&text);
    }

    #[test]
    fn no_damage_makes_it_panic_or_lie(
        cuts in vec((any::<prop::sample::Index>(), 0usize..6, "[\\PC\n]{0,4}|: |- |\\[|\\{|&a |\\*a|\"|'|\u{feff}|# "), 1..4),
    ) {
        let mut text = include_str!("../../../config/policies/examples/support-bot.yaml").to_owned();
        for (at, length, instead) in cuts {
            let start = text.floor_char_boundary(at.index(text.len()));
            let end = text.floor_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end.max(start), &instead);
        }
        if let Ok(laid_out) = layout(&text) {
            prop_assert!(alike(&yaml::parse(&text).unwrap(), &yaml::parse(&laid_out).unwrap()));
        }
    }
}
