use proptest::prelude::*;

use super::*;
use crate::{Exposure, Purpose};

fn today() -> Date {
    "2026-11-25".parse().expect("a date")
}

fn with(text: &str) -> Catalog {
    let figures = "attestations: [{id: users, entity: acme, metric: monthly-users, at_most: 5, signed_by: CFO, signed: \
                   2026-01-01, valid_until: 2027-01-01}]\n";
    let files = [("acme.yaml".to_owned(), format!("{figures}{text}"))];
    Catalog::builtin().with_overlays(&files).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn public() -> Use {
    Use {
        seat: Some("US".to_owned()),
        entity: Some("acme".to_owned()),
        context: Some("bot".to_owned()),
        ..Use::new(Purpose::Revenue, Exposure::Public)
    }
}

fn of(catalog: &Catalog, models: &[&str]) -> Notice {
    let use_ = public();
    let used: Vec<_> = models.iter().map(|id| (catalog.model(id).expect("a row"), &use_)).collect();
    notice(catalog, &used, today())
}

#[test]
fn each_licence_is_there_once_with_its_models_bases_and_the_texts_to_show() {
    let catalog = with("");
    let notice = of(&catalog, &["deepseek-r1-distill-llama-8b", "llama-3.1-8b-instruct", "qwen3-32b", "qwen3-8b"]);
    let ids: Vec<_> = notice.licenses.iter().map(|license| (license.id.as_str(), license.spdx.as_deref())).collect();
    assert_eq!(
        ids,
        [
            ("llama-3.1-community", Some("LicenseRef-Llama-3.1-Community")),
            ("mit", Some("MIT")),
            ("apache-2.0", Some("Apache-2.0")),
        ]
    );
    let llama = &notice.licenses[0];
    let names = |models: &[NamedModel]| models.iter().map(|model| model.id.clone()).collect::<Vec<_>>();
    assert_eq!(names(&llama.models), ["deepseek-r1-distill-llama-8b", "llama-3.1-8b-instruct"]);
    assert_eq!(names(&llama.made_from), ["llama-3.1-8b-instruct"]);
    let display = llama.duties.iter().find(|kind| kind.kind == ObligationKind::Display).expect("a text to show");
    assert_eq!(display.texts, ["Built with Llama"]);
    assert!(llama.duties.iter().all(|kind| kind.kind != ObligationKind::Outputs || kind.texts.is_empty()), "a name");
    assert_eq!(names(&notice.licenses[2].models), ["qwen3-32b", "qwen3-8b"]);
    assert!(notice.refused.is_empty());
}

#[test]
fn what_is_refused_is_named_with_its_reason_and_asks_for_nothing() {
    let notice = of(&with(""), &["mistral-large-2", "mistral-large-2"]);
    assert!(notice.licenses.is_empty());
    assert_eq!(notice.refused.len(), 1);
    assert!(
        notice
            .to_text()
            .contains("Not to be used, and not covered above\n- mistral-large-2: `mistral-large-2` is under")
    );
    assert!(notice.to_html().contains("Not to be used"));
}

#[test]
fn an_agreement_speaks_in_the_place_of_the_licence() {
    let bought = with(
        "agreements: [{id: m-17, licenses: [mistral-research], entity: acme, valid_from: 2026-01-01, valid_until: \
         2027-12-31, document: d, obligations: ['show \"By Mistral\"']}]",
    );
    let notice = of(&bought, &["mistral-large-2"]);
    let [license] = &notice.licenses[..] else { panic!("{notice:?}") };
    let [other] = &license.duties[..] else { panic!("{license:?}") };
    assert_eq!((other.kind, &other.texts[..]), (ObligationKind::Other, &["By Mistral".to_owned()][..]));
    assert_eq!(other.duties, ["in the place of its terms, agreement m-17: show \"By Mistral\""]);
}

#[test]
fn the_text_of_a_notice_is_what_a_person_would_write() {
    let text = of(&with(""), &["llama-3.3-70b-instruct"]).to_text();
    let lines: Vec<_> = text.lines().take(6).collect();
    assert_eq!(
        lines,
        [
            "Models in this product, as of 2026-11-25",
            "",
            "Llama 3.3 Community License Agreement (LicenseRef-Llama-3.3-Community)",
            "----------------------------------------------------------------------",
            "Text: https://www.llama.com/llama3_3/license",
            "Models: Llama 3.3 70B Instruct by Meta",
        ]
    );
    assert!(text.contains("\n    Built with Llama\n"), "{text}");
}

#[test]
fn texts_in_quotation_marks_are_found_and_half_a_pair_is_none() {
    let all = |text| quoted(text).collect::<Vec<_>>();
    assert_eq!(all("show \"A\" and \"B c\""), ["A", "B c"]);
    assert_eq!(all("show \"A\" and \"B"), ["A"]);
    assert_eq!(all("show \"\" or nothing"), [""; 0]);
    assert_eq!(all(""), [""; 0]);
}

#[test]
fn an_address_that_is_no_page_is_not_followed() {
    assert_eq!(link("javascript:alert(1)"), "javascript:alert(1)");
    assert_eq!(link("https://x.example/?a=1&b=\"2"), {
        let shown = "https://x.example/?a=1&amp;b=&quot;2";
        format!("<a href=\"{shown}\">{shown}</a>")
    });
}

#[test]
fn every_model_has_a_notice_in_both_forms() {
    let catalog = with("");
    let ids: Vec<_> = catalog.models().map(|model| model.id.as_str()).collect();
    let notice = of(&catalog, &ids);
    assert!(notice.licenses.len() > 10 && notice.refused.len() > 10);
    assert!(notice.licenses.iter().all(|license| !license.models.is_empty()));
    let html = notice.to_html();
    assert!(!html.contains("<script") && html.matches("<section>").count() == notice.licenses.len() + 1);
    assert_eq!(html.matches("<ul>").count(), html.matches("</ul>").count());
}

proptest! {
    #[test]
    fn no_value_of_a_row_gets_out_of_its_place_on_the_page_or_out_of_its_line_in_the_text(value in "[<>&\"' a-z\n\u{1b}\u{202e}=/:]{0,40}") {
        let model = NamedModel { id: value.clone(), name: value.clone(), developer: Some(value.clone()) };
        let mut license = LicenseNotice {
            id: value.clone(),
            title: value.clone(),
            spdx: Some(value.clone()),
            url: Some(format!("https://{value}")),
            models: vec![model.clone()],
            made_from: vec![model],
            duties: Vec::new(),
        };
        license.owe(ObligationKind::Display, format!("show \"{value}\""));
        let notice = |license: LicenseNotice, refused: &str| Notice {
            day: "2026-11-25".to_owned(),
            licenses: vec![license],
            refused: vec![(refused.to_owned(), refused.to_owned())],
        };
        let marks = |notice: &Notice| {
            let html = notice.to_html();
            (html.matches('<').count(), html.matches('>').count())
        };
        // As many tags as there are with a harmless value in every place, however many texts are quoted.
        let texts = license.duties[0].texts.len();
        let strange = notice(license.clone(), &value);
        let mut harmless = license;
        (harmless.id, harmless.title) = ("x".to_owned(), "x".to_owned());
        (harmless.spdx, harmless.url) = (Some("x".to_owned()), Some("https://x".to_owned()));
        let model = NamedModel { id: "x".to_owned(), name: "x".to_owned(), developer: None };
        (harmless.models, harmless.made_from) = (vec![model.clone()], vec![model]);
        harmless.duties[0].texts = vec!["x".to_owned(); texts];
        harmless.duties[0].duties = vec!["x".to_owned()];
        let harmless = notice(harmless, "x");
        prop_assert_eq!(marks(&strange), marks(&harmless));
        let text = strange.to_text();
        prop_assert_eq!(text.lines().count(), harmless.to_text().lines().count());
        let moves_a_cursor = text.contains(['\u{1b}', '\u{202e}']);
        prop_assert!(!moves_a_cursor);
    }
}

#[test]
fn a_text_to_show_is_what_a_duty_has_in_quotation_marks() {
    let quoted = |text| quoted(text).collect::<Vec<_>>();
    assert_eq!(quoted("Llama 3.3: show \"Built with Llama\" in the product"), ["Built with Llama"]);
    assert!(quoted("keep the notice").is_empty());
    assert!(quoted("an inch is 1\"").is_empty());
}
