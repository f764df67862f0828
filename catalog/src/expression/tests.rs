use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Expression {
    Expression::parse(text, &Catalog::builtin()).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// Reads `text`, in which the one wrong place is marked `<<so>>`, and compares the problem.
fn check(text: &str, code: &str, message: &str, hint: &str) {
    let start = text.find("<<").expect("a mark");
    let end = text.find(">>").expect("its end") - 2;
    let text = text.replace("<<", "").replace(">>", "");
    let error = Expression::parse(&text, &Catalog::builtin()).expect_err("a problem");
    assert_eq!((error.code, &error.span, error.to_string().as_str()), (code, &(start..end), message), "{text}");
    assert_eq!(error.hint.as_deref().unwrap_or_default(), hint, "{text}");
}

/// Whether it is satisfied where just `good` licences are.
fn satisfied(expression: &Expression, good: &[&str]) -> bool {
    expression.evaluate(|license| Ok::<_, ()>(good.contains(&license))).expect("no error")
}

#[test]
fn a_licence_is_found_by_its_row_its_identifier_and_its_reference() {
    for row in Catalog::builtin().licenses() {
        for name in [Some(&row.id), row.spdx.as_ref()].into_iter().flatten() {
            assert_eq!(parse(name).licenses(), [row.id.as_str()], "{name}");
        }
    }
    assert_eq!(parse("apache-2.0 and MIT").to_string(), "apache-2.0 AND MIT");
    assert_eq!(parse("APACHE-2.0").licenses(), ["apache-2.0"]);
}

#[test]
fn and_binds_tighter_than_or_and_only_needed_parentheses_are_printed() {
    for (written, printed) in [
        ("MIT OR (Apache-2.0 AND LicenseRef-Qwen)", "MIT OR Apache-2.0 AND LicenseRef-Qwen"),
        ("(MIT OR Apache-2.0) AND LicenseRef-Qwen", "(MIT OR Apache-2.0) AND LicenseRef-Qwen"),
        ("((MIT) OR (Apache-2.0 OR mit))", "MIT OR Apache-2.0 OR mit"),
        ("MIT AND(Apache-2.0 AND MIT)", "MIT AND Apache-2.0 AND MIT"),
    ] {
        assert_eq!(parse(written).to_string(), printed);
    }
}

#[test]
fn an_exception_of_the_list_leaves_the_licence_and_a_row_for_both_is_preferred() {
    let with = parse("Apache-2.0 with LLVM-exception OR MIT");
    assert_eq!(with.to_string(), "Apache-2.0 WITH LLVM-exception OR MIT");
    assert_eq!(with.licenses(), ["apache-2.0", "mit"]);
    let rows = "licenses: [{id: acme-llvm, name: A, spdx: Apache-2.0 WITH LLVM-exception, tier: 1, \
                allows: [revenue, internal], text: full}]";
    let catalog = Catalog::builtin().with_overlays(&[("a".to_owned(), rows.to_owned())]).expect("good rows");
    let with = Expression::parse("Apache-2.0 WITH LLVM-exception", &catalog).expect("an expression");
    assert_eq!(with.licenses(), ["acme-llvm"]);
}

#[test]
fn or_later_is_this_version() {
    assert_eq!(parse("CC-BY-4.0+").licenses(), ["cc-by-4.0"]);
    assert_eq!(parse("CC-BY-4.0+").to_string(), "CC-BY-4.0+");
}

#[test]
fn what_is_no_expression_is_told_with_its_place() {
    let syntax = "license-expression-syntax";
    check("<<>>", syntax, "no licence is named", "");
    check("<<  >>", syntax, "no licence is named", "");
    check("MIT <<Apache-2.0>>", syntax, "expected `AND`, `OR` or `WITH`, found `Apache-2.0`", "");
    check("MIT AND<<>> ", syntax, "expected a licence or `(`, found the end", "");
    check("<<OR>> MIT", syntax, "expected a licence or `(`, found `OR`", "");
    check("MIT OR <<(>>Apache-2.0 AND MIT", syntax, "a parenthesis is never closed", "");
    check("MIT<<)>>", syntax, "a parenthesis is closed that was never opened", "");
    check("(MIT <<(>>mit))", syntax, "expected `AND`, `OR`, `WITH` or `)`, found `(`", "");
    check("(MIT) <<WITH>> LLVM-exception", syntax, "expected `AND`, `OR` or `WITH`, found `WITH`", "");
    check("MIT WITH <<AND>> mit", syntax, "expected an exception, found `AND`", "");
}

#[test]
fn a_licence_that_is_not_known_points_at_its_name_and_suggests_the_nearest() {
    let unknown = "unknown-license";
    check(
        "MIT AND <<Apche-2.0>>",
        unknown,
        "there is no licence `Apche-2.0` in the catalog",
        "did you mean `Apache-2.0`?",
    );
    check(
        "<<LicenseRef-Lama-3.3-Community>> OR MIT",
        unknown,
        "there is no licence `LicenseRef-Lama-3.3-Community` in the catalog",
        "did you mean `LicenseRef-Llama-3.3-Community`?",
    );
    check("MIT OR <<«ü\u{1b}»>>", unknown, "there is no licence `«ü\\u{1b}»` in the catalog", "");
    check("<<And>>", unknown, "there is no licence `And` in the catalog", "write `AND`");
    check("<<MIT++>>", unknown, "there is no licence `MIT++` in the catalog", "did you mean `MIT`?");
    check(
        "<<GPL-3.0-only>>",
        "license-without-row",
        "the catalog has no row for `GPL-3.0-only`, so that nothing is known of what it allows",
        "add a licence with `spdx: GPL-3.0-only` to the company's catalog",
    );
    check(
        "MIT WITH <<LLVM-exeption>>",
        "unknown-exception",
        "there is no exception `LLVM-exeption` on the SPDX list",
        "did you mean `LLVM-exception`?",
    );
    check(
        "MIT WITH <<AdditionRef-x>>",
        "unknown-exception",
        "there is no exception `AdditionRef-x` on the SPDX list",
        "",
    );
}

#[test]
fn length_licences_and_depth_are_bounded() {
    let large = "license-expression-too-large";
    let fits = vec!["MIT"; MAX_LICENSES].join(" AND ");
    assert_eq!(parse(&fits).to_string(), fits);
    check(&format!("{fits} AND <<MIT>>"), large, "more than 32 licences in one expression", "");
    let open = "(".repeat(MAX_DEPTH);
    parse(&format!("{open}MIT{}", ")".repeat(MAX_DEPTH)));
    let hint = "AND binds tighter than OR: most parentheses can go";
    check(&format!("{open}<<(>>MIT"), large, "more than 16 parentheses inside each other", hint);
    let long = "x".repeat(MAX_BYTES + 1);
    check(&format!("<<{long}>>"), large, "a licence expression of 2001 bytes; at most 2000 are read", "");
}

#[test]
fn an_and_needs_every_part_and_an_or_the_branch_that_was_chosen() {
    let both = parse("MIT AND Apache-2.0");
    assert!(satisfied(&both, &["mit", "apache-2.0"]) && !satisfied(&both, &["mit"]));
    assert_eq!(both.undecided(), None);

    let offer = parse("LicenseRef-Qwen AND (MIT OR Apache-2.0)");
    assert_eq!(offer.undecided().as_deref(), Some("MIT OR Apache-2.0"));
    assert!(!satisfied(&offer, &["mit", "apache-2.0", "qwen"]), "nobody took the offer");
    let taken = offer.choose(&["mit"]).expect("a choice");
    assert_eq!(taken.undecided(), None);
    let row = taken.licenses()[0].to_owned();
    assert!(satisfied(&taken, &["mit", &row]));
    assert!(!satisfied(&taken, &["apache-2.0", &row]), "the other branch does not help");
    let again = taken.choose(&["apache-2.0"]).expect("another choice");
    assert!(!satisfied(&again, &["mit", &row]) && satisfied(&again, &["apache-2.0", &row]));
}

#[test]
fn a_choice_takes_a_branch_whole_and_the_one_that_asks_for_more() {
    let offer = || parse("MIT OR MIT AND Apache-2.0 OR CC-BY-4.0");
    assert!(satisfied(&offer().choose(&["mit"]).expect("a choice"), &["mit"]));
    let more = offer().choose(&["mit", "apache-2.0"]).expect("a choice");
    assert!(!satisfied(&more, &["mit"]) && satisfied(&more, &["mit", "apache-2.0"]));
    let half = offer().choose(&["apache-2.0"]).expect("a choice");
    assert!(half.undecided().is_some(), "a part of a branch is no branch");
    let two = offer().choose(&["mit", "cc-by-4.0"]).expect_err("two branches");
    assert_eq!(two.to_string(), "`MIT` and `CC-BY-4.0` are both chosen, and one of them is enough");
    let other = offer().choose(&["qwen"]).expect_err("not offered");
    assert_eq!(other.to_string(), "the licence `qwen` is not in `MIT OR MIT AND Apache-2.0 OR CC-BY-4.0`");
}

#[test]
fn an_error_of_one_licence_is_the_outcome_whatever_the_others_say() {
    for text in ["MIT AND Apache-2.0", "Apache-2.0 AND MIT"] {
        let outcome = parse(text).evaluate(|license| if license == "mit" { Err("down") } else { Ok(false) });
        assert_eq!(outcome, Err("down"), "{text}");
    }
}

/// Expressions over some licences of the catalog.
fn expressions() -> impl Strategy<Value = String> {
    let names = ["MIT", "apache-2.0", "CC-BY-4.0", "LicenseRef-Qwen", "NOASSERTION", "MIT WITH LLVM-exception"];
    let licence = proptest::sample::select(names.map(str::to_owned).to_vec());
    licence.prop_recursive(4, 24, 4, |inner| {
        let parts = prop::collection::vec(inner, 1..4);
        (parts, prop::bool::ANY)
            .prop_map(|(parts, and)| format!("({})", parts.join(if and { " AND " } else { " OR " })))
    })
}

/// A part of the licences that an expression names.
fn some_of(expression: &Expression, mask: u32) -> Vec<String> {
    let licenses = expression.licenses().into_iter().enumerate();
    licenses.filter(|(n, _)| mask & (1 << n) != 0).map(|(_, license)| license.to_owned()).collect()
}

/// Whether a part is satisfied if any branch of an OR will do, as the `spdx` crate has it.
fn any_branch(node: &Node, good: &[String]) -> bool {
    match node {
        Node::One(leaf) => good.contains(&leaf.license),
        Node::All(parts) => parts.iter().all(|part| any_branch(part, good)),
        Node::Any { branches, .. } => branches.iter().any(|branch| any_branch(branch, good)),
    }
}

proptest! {
    #[test]
    fn any_text_is_an_expression_or_a_problem_with_a_place_in_it(
        text in "\\PC{0,60}|(MIT|AND|or|WITH|LLVM-exception|mit\\+|LicenseRef-Qwen|\\(|\\)| |ü){0,40}",
    ) {
        match Expression::parse(&text, &Catalog::builtin()) {
            Ok(expression) => prop_assert!(!expression.licenses().is_empty()),
            Err(error) => prop_assert!(text.get(error.span.clone()).is_some(), "{error:?}"),
        }
    }

    #[test]
    fn what_is_printed_reads_as_the_same(text in expressions()) {
        let expression = parse(&text);
        prop_assert_eq!(&parse(&expression.to_string()), &expression);
    }

    #[test]
    fn the_spdx_crate_reads_the_same_tree(text in expressions(), good in any::<u32>()) {
        // What it does not read: ids of rows, and a licence that is not known.
        let text = text.replace("apache-2.0", "Apache-2.0").replace("NOASSERTION", "LicenseRef-Qwen");
        let (ours, theirs) = (parse(&text), spdx::Expression::parse(&text).expect("an expression"));
        let (catalog, good) = (Catalog::builtin(), some_of(&ours, good));
        let theirs = theirs.evaluate(|part| {
            stating(&catalog, &part.license.to_string()).is_some_and(|row| good.contains(&row.id))
        });
        prop_assert_eq!(any_branch(&ours.root, &good), theirs);
    }

    #[test]
    fn an_or_that_nobody_decided_is_satisfied_by_nothing(text in expressions()) {
        let expression = parse(&text);
        let anything = expression.evaluate(|_| Ok::<_, ()>(true));
        prop_assert_eq!(anything, Ok(expression.undecided().is_none()));
    }

    #[test]
    fn what_is_satisfied_needs_every_licence_that_was_asked_for(text in expressions(), mask in any::<u32>()) {
        let expression = parse(&text);
        let chosen = some_of(&expression, mask);
        let Ok(expression) = expression.choose(&chosen.iter().map(String::as_str).collect::<Vec<_>>()) else {
            return Ok(());
        };
        let mut asked = Vec::new();
        let satisfied = expression.evaluate(|license| { asked.push(license.to_owned()); Ok::<_, ()>(true) });
        for unknown in &asked {
            prop_assert_eq!(expression.evaluate(|license| Ok::<_, ()>(license != unknown)), Ok(false));
            let failing = expression.evaluate(|license| if license == unknown { Err(()) } else { Ok(true) });
            prop_assert_eq!(failing, Err(()));
        }
        prop_assert!(satisfied == Ok(expression.undecided().is_none()));
    }
}
