//! The country codes of ISO 3166-1 alpha-2, and those that people write for them by mistake.
//!
//! A seat that is no country would meet no territorial clause, and so allow what one forbids: whoever takes a code from
//! a person checks it here.

/// The codes that are assigned to countries and territories, in order.
const CODES: [&str; 249] = [
    "AD", "AE", "AF", "AG", "AI", "AL", "AM", "AO", "AQ", "AR", "AS", "AT", "AU", "AW", "AX", "AZ", "BA", "BB", "BD",
    "BE", "BF", "BG", "BH", "BI", "BJ", "BL", "BM", "BN", "BO", "BQ", "BR", "BS", "BT", "BV", "BW", "BY", "BZ", "CA",
    "CC", "CD", "CF", "CG", "CH", "CI", "CK", "CL", "CM", "CN", "CO", "CR", "CU", "CV", "CW", "CX", "CY", "CZ", "DE",
    "DJ", "DK", "DM", "DO", "DZ", "EC", "EE", "EG", "EH", "ER", "ES", "ET", "FI", "FJ", "FK", "FM", "FO", "FR", "GA",
    "GB", "GD", "GE", "GF", "GG", "GH", "GI", "GL", "GM", "GN", "GP", "GQ", "GR", "GS", "GT", "GU", "GW", "GY", "HK",
    "HM", "HN", "HR", "HT", "HU", "ID", "IE", "IL", "IM", "IN", "IO", "IQ", "IR", "IS", "IT", "JE", "JM", "JO", "JP",
    "KE", "KG", "KH", "KI", "KM", "KN", "KP", "KR", "KW", "KY", "KZ", "LA", "LB", "LC", "LI", "LK", "LR", "LS", "LT",
    "LU", "LV", "LY", "MA", "MC", "MD", "ME", "MF", "MG", "MH", "MK", "ML", "MM", "MN", "MO", "MP", "MQ", "MR", "MS",
    "MT", "MU", "MV", "MW", "MX", "MY", "MZ", "NA", "NC", "NE", "NF", "NG", "NI", "NL", "NO", "NP", "NR", "NU", "NZ",
    "OM", "PA", "PE", "PF", "PG", "PH", "PK", "PL", "PM", "PN", "PR", "PS", "PT", "PW", "PY", "QA", "RE", "RO", "RS",
    "RU", "RW", "SA", "SB", "SC", "SD", "SE", "SG", "SH", "SI", "SJ", "SK", "SL", "SM", "SN", "SO", "SR", "SS", "ST",
    "SV", "SX", "SY", "SZ", "TC", "TD", "TF", "TG", "TH", "TJ", "TK", "TL", "TM", "TN", "TO", "TR", "TT", "TV", "TW",
    "TZ", "UA", "UG", "UM", "US", "UY", "UZ", "VA", "VC", "VE", "VG", "VI", "VN", "VU", "WF", "WS", "YE", "YT", "ZA",
    "ZM", "ZW",
];

/// Codes of other lists, and what ISO 3166 has in their place.
const MISTAKEN: [(&str, &str); 6] =
    [("UK", "GB"), ("EL", "GR"), ("TP", "TL"), ("BU", "MM"), ("FX", "FR"), ("DD", "DE")];

/// Whether `code` is a code of ISO 3166-1 alpha-2, in capital letters.
pub fn is_country(code: &str) -> bool {
    CODES.binary_search(&code).is_ok()
}

/// What somebody who wrote `code` has to write instead, as far as that can be told.
pub fn country_meant(code: &str) -> Option<&'static str> {
    let code = code.to_ascii_uppercase();
    let code = MISTAKEN.iter().find(|(mistaken, _)| *mistaken == code).map_or(code.as_str(), |(_, meant)| meant);
    CODES.binary_search(&code).ok().map(|at| CODES[at])
}

/// The member states of the European Union.
const EU: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// Whether `country` is `place`, or a member of it where it is the European Union. Case does not matter.
pub(crate) fn lies_in(country: &str, place: &str) -> bool {
    place.eq_ignore_ascii_case(country) || place == "EU" && EU.iter().any(|member| member.eq_ignore_ascii_case(country))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_in_order_and_each_is_two_capital_letters() {
        assert!(CODES.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(CODES.iter().all(|code| code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase())));
        assert!(EU.iter().all(|member| is_country(member)));
    }

    #[test]
    fn what_is_no_code_is_told_apart_and_its_meaning_is_guessed_where_it_is_clear() {
        assert!(["DE", "GB", "KR", "US", "XK"].map(is_country) == [true, true, true, true, false]);
        assert!(["UK", "EL", "EU", "de", "ZZ", "", "Germany"].iter().all(|code| !is_country(code)));
        let meant = ["UK", "el", "de", "ZZ", "EU"].map(country_meant);
        assert_eq!(meant, [Some("GB"), Some("GR"), Some("DE"), None, None]);
    }
}
