use proptest::{collection::vec, option, prelude::*, sample::select};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::Value;

use super::*;
use crate::{Answer, Date, Metric, Month};

/// The key pair of this number.
fn pair(n: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[n; 32]).expect("a seed has 32 bytes")
}

fn signer(name: &str, n: u8) -> Signer {
    Signer { name: name.to_owned(), key: BASE64_STANDARD.encode(pair(n).public_key()) }
}

fn sign(n: u8, text: &str) -> String {
    BASE64_STANDARD.encode(pair(n).sign(text.as_bytes()))
}

const SIGNERS: [(&str, u8); 3] = [("Jane", 1), ("John", 2), ("Eve", 3)];

const ATTESTED: &str = "attestations:
  - {id: users, entity: acme, metric: monthly-users, at_most: 5, signed_by: Jane, signed: 2026-01-15, \
   valid_until: 2027-01-31SIGNATURE}
";
const WAIVED: &str = "waivers:
  - {id: w, rules: [tier3-commercial], models: [mistral-large-2], contexts: [bot], reason: a trial, requested_by: Ann, \
   approved_by: [Jane, John], created: 2026-11-01, expires: 2026-12-31SIGNATURES}
";

fn signers() -> String {
    let row = |(name, n)| format!("  - {{name: {name}, key: {}}}\n", signer(name, n).key);
    format!("signers:\n{}", SIGNERS.map(row).concat())
}

fn file(text: String) -> [(String, String); 1] {
    [("acme.yaml".to_owned(), text)]
}

/// The codes of what is wrong with these rows.
fn codes(text: String) -> Vec<&'static str> {
    let loaded = Catalog::builtin().with_overlays(&file(text));
    loaded.map(|_| Vec::new()).unwrap_or_else(|problems| problems.iter().map(|problem| problem.code).collect())
}

fn to_sign(text: &str) -> Vec<ToSign> {
    Catalog::builtin().to_sign(&file(text.to_owned())).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn attested(signature: Option<String>) -> String {
    ATTESTED.replace("SIGNATURE", &signature.map(|it| format!(", signature: {it}")).unwrap_or_default())
}

fn waived(signatures: &[(&str, String)]) -> String {
    let rows: Vec<_> = signatures.iter().map(|(by, it)| format!("{{by: {by}, signature: {it}}}")).collect();
    let list = if rows.is_empty() { String::new() } else { format!(", signatures: [{}]", rows.join(", ")) };
    WAIVED.replace("SIGNATURES", &list)
}

#[test]
fn what_is_signed_is_a_line_that_says_what_it_is_and_the_row_in_the_order_of_the_alphabet() {
    let texts: Vec<_> = to_sign(&(attested(None) + &waived(&[]))).into_iter().map(|row| row.text).collect();
    assert_eq!(
        texts,
        [
            "pointsman attestation v1\n{\"at_most\":5,\"entity\":\"acme\",\"id\":\"users\",\"metric\":\"monthly-users\",\
             \"signed\":\"2026-01-15\",\"signed_by\":\"Jane\",\"valid_until\":\"2027-01-31\"}",
            "pointsman waiver v1\n{\"approved_by\":[\"Jane\",\"John\"],\"contexts\":[\"bot\"],\"created\":\"2026-11-01\",\
             \"expires\":\"2026-12-31\",\"id\":\"w\",\"models\":[\"mistral-large-2\"],\"reason\":\"a trial\",\
             \"requested_by\":\"Ann\",\"rules\":[\"tier3-commercial\"]}",
        ]
    );
}

#[test]
fn without_signers_nothing_has_to_be_signed_and_with_one_everything_has_to() {
    assert_eq!(codes(attested(None) + &waived(&[])), [""; 0]);
    assert_eq!(codes(signers() + &attested(None) + &waived(&[])), ["not-signed", "not-signed", "not-signed"]);
    let rows = to_sign(&(signers() + &attested(None) + &waived(&[])));
    let lacking: Vec<_> = rows.iter().map(|row| (row.kind, row.id.as_str(), row.lacking.join(" "))).collect();
    assert_eq!(
        lacking,
        [(SignedKind::Attestation, "users", "Jane".to_owned()), (SignedKind::Waiver, "w", "Jane John".to_owned())]
    );
    let all = signers()
        + &attested(Some(sign(1, &rows[0].text)))
        + &waived(&[("John", sign(2, &rows[1].text)), ("Jane", sign(1, &rows[1].text))]);
    assert!(to_sign(&all).iter().all(|row| row.lacking.is_empty()));
    let catalog = Catalog::builtin().with_overlays(&file(all)).unwrap_or_else(|problems| panic!("{problems:?}"));
    for row in rows {
        assert_eq!(catalog.signed_text(row.kind, &row.id), Some(row.text));
    }
    assert_eq!(catalog.signed_text(SignedKind::Waiver, "users"), None);
}

#[test]
fn another_persons_signature_does_not_count() {
    let rows = to_sign(&(attested(None) + &waived(&[])));
    let (attestation, waiver) = (&rows[0].text, &rows[1].text);
    let of = |rest: String| codes(signers() + &rest);
    assert_eq!(of(attested(Some(sign(2, attestation)))), ["bad-signature"]);
    assert_eq!(of(attested(Some(sign(1, waiver)))), ["bad-signature"], "nor theirs under another row");
    assert_eq!(of(attested(Some("nothing".to_owned()))), ["bad-signature"]);
    let jane = || ("Jane", sign(1, waiver));
    assert_eq!(of(waived(&[jane()])), ["not-signed"], "one of two");
    assert_eq!(of(waived(&[jane(), jane()])), ["not-signed"], "one of two, twice");
    assert_eq!(of(waived(&[jane(), ("John", sign(1, waiver))])), ["bad-signature"]);
    assert_eq!(of(waived(&[jane(), ("John", sign(2, waiver)), ("Eve", sign(3, waiver))])), ["bad-signature"]);
    assert_eq!(of(attested(Some(sign(1, attestation))).replace("by: Jane", "by: Jan")), ["unknown-signer"]);
}

#[test]
fn taking_the_signers_away_does_not_turn_signatures_off() {
    let text = to_sign(&attested(None))[0].text.clone();
    assert_eq!(codes(attested(Some(sign(1, &text)))), ["unknown-signer"]);
}

#[test]
fn the_first_signers_ask_for_signatures_of_the_files_before_and_of_those_after() {
    let before = Catalog::builtin().with_overlays(&file(attested(None))).expect("no signers yet");
    let problems = before.with_overlays(&file(signers())).map(|_| ()).expect_err("an attestation is not signed");
    assert_eq!((problems.len(), problems[0].code, problems[0].line), (1, "not-signed", 2));
    let before = Catalog::builtin().with_overlays(&file(signers())).expect("nothing to sign");
    let problems = before.with_overlays(&file(attested(None))).map(|_| ()).expect_err("it is not signed");
    assert_eq!((problems.len(), problems[0].code), (1, "not-signed"));
    assert_eq!(problems[0].message, "`Jane` has not signed the attestation `users`");
    assert_eq!(problems[0].hint.as_deref(), Some("let `Jane` sign it: `pointsman license sign attestation users`"));
}

#[test]
fn every_signer_has_a_name_and_a_key_of_their_own_that_is_a_key() {
    let row = |name: &str, key: &str| format!("  - {{name: '{name}', key: '{key}'}}\n");
    let of = |rows: &[String]| codes(format!("signers:\n{}", rows.concat()));
    let (one, two) = (signer("Jane", 1).key, signer("Jane", 2).key);
    assert_eq!(of(&[row("Jane", &one), row("John", &two)]), [""; 0]);
    assert_eq!(of(&[row("Jane", &one), row(" jane", &two)]), ["duplicate-signer"]);
    assert_eq!(of(&[row("Jane", &one), row("John", &one)]), ["duplicate-signer"], "one person as two");
    assert_eq!(of(&[row(" ", &one)]), ["empty-text"]);
    for key in ["", "AAAA", &one[1..], &format!("{one}\n"), &BASE64_STANDARD.encode([0; 33])] {
        assert_eq!(of(&[row("Jane", &key.replace('\n', " "))]), ["bad-key"], "{key}");
    }
}

#[test]
fn the_signatures_in_the_example_are_those_of_its_signers_once_they_are_turned_on() {
    let example = include_str!("../../../config/examples/company-catalog.yaml");
    assert!(Catalog::builtin().with_overlays(&file(example.to_owned())).is_ok(), "as it is");
    let on = |line: &str| match line.trim_start().strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => line.replacen('#', "", 1),
        _ => line.to_owned(),
    };
    let signed: Vec<_> = example.lines().map(on).collect();
    let people = [("Jane Roe, chief financial officer", 1), ("John Doe, general counsel", 2)];
    for row in to_sign(&signed.join("\n")) {
        for (name, n) in people.iter().filter(|(name, _)| row.lacking.iter().any(|lacking| lacking == name)) {
            println!("{} {name}: {}, key {}", row.id, sign(*n, &row.text), signer(name, *n).key);
        }
        assert!(!row.by.is_empty());
    }
    let catalog = Catalog::builtin().with_overlays(&file(signed.join("\n")));
    let catalog = catalog.unwrap_or_else(|problems| panic!("sign it with the keys of this test: {problems:?}"));
    assert_eq!(catalog.signers().map(|signer| signer.name.as_str()).collect::<Vec<_>>(), people.map(|(name, _)| name));
}

#[test]
fn a_key_that_stands_for_no_secret_is_refused() {
    // Under the neutral element, S = 0 and R = the element sign every text.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut forged = [0; 64];
    forged[0] = 1;
    assert!(UnparsedPublicKey::new(&ED25519, neutral).verify(b"anything", &forged).is_ok(), "why this test is here");
    for point in OF_SMALL_ORDER {
        let mut negative = point;
        negative[31] |= 0x80;
        for point in [point, negative] {
            let encoded = BASE64_STANDARD.encode(point);
            assert_eq!(key(&encoded), None);
            let signer = Signer { name: "Jane".to_owned(), key: encoded };
            assert!(!signer.signed("anything", &BASE64_STANDARD.encode(forged)));
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just("bot".to_owned()), "[ -~]{0,8}", "[a-zäöü\u{4e00}\"\\\\ ]{0,6}"]
}

fn day() -> impl Strategy<Value = Date> {
    (1_700_000_000_000u64..1_900_000_000_000).prop_map(Date::of_unix_ms)
}

prop_compose! {
    fn attestations()(
        (id, entity, signed_by) in (text(), text(), text()),
        metric in select(vec![Metric::MonthlyUsers, Metric::Registered]),
        (licenses, contexts) in (vec(text(), 0..3), vec(text(), 0..3)),
        month in option::of(Just(Month::try_from("2024-06".to_owned()).expect("a month"))),
        (at_most, more_than) in (option::of(any::<u64>()), option::of(any::<u64>())),
        answer in option::of(select(vec![Answer::Yes, Answer::No])),
        (signed, valid_until) in (day(), day()),
        (evidence, signature) in (option::of(text()), option::of(text())),
    ) -> Attestation {
        Attestation {
            id, entity, metric, licenses, contexts, month, at_most, more_than, answer, signed_by, signed, valid_until,
            evidence, signature, without_affiliates: false,
        }
    }
}

prop_compose! {
    fn waivers()(
        (id, reason, requested_by) in (text(), text(), text()),
        (rules, models, contexts, approved_by) in (vec(text(), 0..3), vec(text(), 0..3), vec(text(), 0..3), vec(text(), 1..4)),
        (created, expires, revoked) in (day(), day(), option::of(day())),
        ticket in option::of(text()),
        at_most_requests in option::of(any::<u64>()),
        by in text(),
    ) -> Waiver {
        Waiver {
            id, rules, models, contexts, reason, requested_by, approved_by, created, expires, revoked, ticket,
            at_most_requests, signatures: vec![Signature { by, signature: String::new() }],
        }
    }
}

/// Every row that differs from this one in one key: a key left out, or with the value that another row has.
fn changed(row: &Value, other: &Value, signatures: &str) -> Vec<Value> {
    let (Value::Object(row), Value::Object(other)) = (row, other) else { panic!("rows are objects") };
    let keys = row.keys().chain(other.keys()).filter(|key| *key != signatures && row.get(*key) != other.get(*key));
    keys.map(|key| {
        let mut changed = row.clone();
        match other.get(key) {
            Some(value) => changed.insert(key.clone(), value.clone()),
            None => changed.remove(key),
        };
        Value::Object(changed)
    })
    .collect()
}

proptest! {
    #[test]
    fn a_signature_holds_for_its_attestation_and_for_none_that_differs_in_any_field(
        row in attestations(), other in attestations(), another in "[a-z]{1,8}",
    ) {
        let (jane, text) = (signer("Jane", 1), row.signed_text());
        let signature = sign(1, &text);
        let signed = Attestation { signature: Some(signature.clone()), ..row.clone() };
        prop_assert!(jane.signed(&signed.signed_text(), &signature), "its own signature is not signed");
        prop_assert!(!signer("John", 2).signed(&text, &signature));
        let json = |row: &Attestation| serde_json::to_value(row).expect("JSON");
        for changed in changed(&json(&signed), &json(&Attestation { id: another, ..other }), "signature") {
            // Some keys cannot be left out.
            let Ok(changed) = serde_json::from_value::<Attestation>(changed) else { continue };
            prop_assert!(!jane.signed(&changed.signed_text(), &signature), "{changed:?}");
        }
    }

    #[test]
    fn a_waiver_is_signed_only_by_all_who_approve_it_as_it_stands(row in waivers(), other in waivers()) {
        let text = row.signed_text();
        let signers: Vec<_> = row.approved_by.iter().map(|name| signer(name, 1)).collect();
        let find = |name: &str| signers.iter().find(|signer| signer.name == name);
        let signature = |name: &String| Signature { by: name.clone(), signature: sign(1, &text) };
        let signed = Waiver { signatures: row.approved_by.iter().map(signature).collect(), ..row.clone() };
        prop_assert_eq!(signed.to_sign(find).lacking.len(), 0);
        let without = Waiver { signatures: signed.signatures[1..].to_vec(), ..signed.clone() };
        let again = row.approved_by[1..].contains(&row.approved_by[0]);
        prop_assert_eq!(without.to_sign(find).lacking.is_empty(), again);
        let json = |row: &Waiver| serde_json::to_value(row).expect("JSON");
        for changed in changed(&json(&signed), &json(&other), "signatures") {
            let Ok(changed) = serde_json::from_value::<Waiver>(changed) else { continue };
            let to_sign = changed.to_sign(find);
            prop_assert_eq!(to_sign.lacking, to_sign.by, "{:?}", changed);
        }
    }

    #[test]
    fn what_is_signed_is_the_same_after_the_row_was_written_and_read(row in attestations(), waiver in waivers()) {
        let written = serde_saphyr::to_string(&row).expect("a row can be written");
        let read: Attestation = serde_saphyr::from_str(&written).expect("what was written reads");
        prop_assert_eq!(read.signed_text(), row.signed_text());
        let written = serde_saphyr::to_string(&waiver).expect("a row can be written");
        let read: Waiver = serde_saphyr::from_str(&written).expect("what was written reads");
        prop_assert_eq!(read.signed_text(), waiver.signed_text());
    }

    #[test]
    fn no_key_and_no_signature_makes_checking_panic(key in any::<String>(), signature in any::<String>(), bytes in vec(any::<u8>(), 0..80)) {
        let jane = signer("Jane", 1);
        let nobody = Signer { key, ..jane.clone() };
        prop_assert!(!nobody.signed("text", &signature));
        prop_assert!(!jane.signed("text", &BASE64_STANDARD.encode(bytes)));
    }
}
