//! Any text is a catalog file or refused with problems of one line each; what loads is decided without a panic.
//!
//! Give it `config/examples/company-catalog.yaml` as its first input.

#![no_main]

use catalog::{Catalog, Date, Exposure, Purpose, Use, decide, explain};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let base = Catalog::builtin();
    match base.with_overlays(&[("fuzz.yaml".to_owned(), text.to_owned())]) {
        Ok(catalog) => {
            let today: Date = "2026-11-25".parse().expect("a date");
            let use_ = Use { entity: Some("company".to_owned()), ..Use::new(Purpose::Revenue, Exposure::Public) };
            for model in catalog.models().skip(base.models().count()) {
                let decision = decide(&catalog, model, &use_, today);
                assert_eq!(explain(&catalog, model, &use_, today).decision, decision);
            }
        }
        Err(problems) => {
            for problem in problems {
                assert!(!problem.to_string().contains('\n'), "{problem}");
            }
        }
    }
});
