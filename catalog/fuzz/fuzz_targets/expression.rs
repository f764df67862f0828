//! Any text is a licence expression or refused with a place inside it; what reads is printed so that it reads again.

#![no_main]

use catalog::{Catalog, Expression};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let catalog = Catalog::builtin();
    match Expression::parse(text, &catalog) {
        Ok(expression) => {
            let printed = expression.to_string();
            let again = Expression::parse(&printed, &catalog).unwrap_or_else(|error| panic!("{printed}: {error}"));
            assert_eq!(again, expression);
        }
        Err(error) => {
            assert!(error.span.start <= error.span.end && error.span.end <= text.len(), "{error:?}");
            assert!(!error.message.contains('\n'), "{error}");
        }
    }
});
