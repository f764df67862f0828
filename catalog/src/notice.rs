//! The notices that a product has to carry for the models in it: per licence its title, identifier and address, the models
//! under it, those that they were made from, and the duties that the uses bring about.
//!
//! As data, as plain text for a NOTICE file ([`Notice::to_text`]), and as a page without scripts ([`Notice::to_html`]). What a
//! decision refuses is listed apart with its reason and carries no duties. The texts of licences are not in the catalog:
//! their addresses are.

use std::collections::VecDeque;
use std::fmt::Write as _;

use serde::Serialize;

use crate::bom::spdx_identifier;
use crate::{Catalog, Date, Derivation, Model, ObligationKind, Use, decide, duties};

/// What a product has to say of the models in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The day of which it speaks.
    pub day: String,
    /// The licences, in the order in which the models come.
    pub licenses: Vec<LicenseNotice>,
    /// Models that may not serve a use: id and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<(String, String)>,
}

/// A licence, and what is under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LicenseNotice {
    /// Its id in the catalog.
    pub id: String,
    /// The title of its text.
    pub title: String,
    /// Identifier of the SPDX list, or `LicenseRef-...`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spdx: Option<String>,
    /// Where its text stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The models under it, by themselves or by what they were made from.
    pub models: Vec<NamedModel>,
    /// What they were made from that is under it too, however far back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub made_from: Vec<NamedModel>,
    /// What it asks for, by kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub duties: Vec<KindOfDuty>,
}

/// A model as people call it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedModel {
    /// Its id in the catalog; of one without a row, its name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub developer: Option<String>,
}

/// The duties of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KindOfDuty {
    /// The kind.
    pub kind: ObligationKind,
    /// The duties, in plain words.
    pub duties: Vec<String>,
    /// The texts in quotation marks in them, where something has to be shown or shipped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<String>,
}

/// The notice for these models in these uses on a day.
pub fn notice(catalog: &Catalog, used: &[(&Model, &Use)], today: Date) -> Notice {
    let mut notice = Notice { day: today.to_string(), ..Notice::default() };
    for (model, use_) in used {
        let decision = decide(catalog, model, use_, today);
        if !decision.outcome.allows() {
            let refused = (model.id.clone(), decision.reason.to_string());
            if !notice.refused.contains(&refused) {
                notice.refused.push(refused);
            }
            continue;
        }
        for id in catalog.licenses_of(model) {
            let Some(license) = notice.license(catalog, &id) else { continue };
            push(&mut license.models, named(model));
            for base in made_from(catalog, model, &id) {
                push(&mut license.made_from, base);
            }
        }
        for duty in duties(catalog, model, use_, today) {
            let text = match &duty.agreement {
                Some(agreement) => format!("in the place of its terms, agreement {agreement}: {}", duty.text),
                None => duty.text,
            };
            if let Some(license) = notice.license(catalog, &duty.license) {
                license.owe(duty.kind, text);
            }
        }
    }
    notice
}

impl Notice {
    /// The entry of a licence, made where there is none yet.
    fn license(&mut self, catalog: &Catalog, id: &str) -> Option<&mut LicenseNotice> {
        let at = match self.licenses.iter().position(|entry| entry.id == id) {
            Some(at) => at,
            None => {
                let row = catalog.license(id)?;
                self.licenses.push(LicenseNotice {
                    id: row.id.clone(),
                    title: row.name.clone(),
                    spdx: spdx_identifier(row),
                    url: row.url.clone(),
                    models: Vec::new(),
                    made_from: Vec::new(),
                    duties: Vec::new(),
                });
                self.licenses.len() - 1
            }
        };
        self.licenses.get_mut(at)
    }

    /// As plain text: a NOTICE file. Nothing in it breaks a line or moves a cursor.
    pub fn to_text(&self) -> String {
        let mut text = format!("Models in this product, as of {}\n", self.day);
        for license in &self.licenses {
            let _ = write!(text, "\n{}\n", plain(&license.heading()));
            let _ = writeln!(text, "{}", "-".repeat(plain(&license.heading()).chars().count().min(100)));
            if let Some(url) = &license.url {
                let _ = writeln!(text, "Text: {}", plain(url));
            }
            for (what, models) in [("Models", &license.models), ("Made from", &license.made_from)] {
                if !models.is_empty() {
                    let names: Vec<_> = models.iter().map(NamedModel::words).collect();
                    let _ = writeln!(text, "{what}: {}", plain(&names.join("; ")));
                }
            }
            for kind in &license.duties {
                for shown in &kind.texts {
                    let _ = writeln!(text, "\n    {}\n", plain(shown));
                }
                for duty in &kind.duties {
                    let _ = writeln!(text, "- {}: {}", kind.kind.name(), plain(duty));
                }
            }
        }
        if !self.refused.is_empty() {
            text.push_str("\nNot to be used, and not covered above\n");
            for (model, reason) in &self.refused {
                let _ = writeln!(text, "- {}: {}", plain(model), plain(reason));
            }
        }
        text
    }

    /// As a page of attributions: one file, no scripts, nothing that is loaded from elsewhere, every value escaped.
    pub fn to_html(&self) -> String {
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>Models in this product</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <h1>Models in this product</h1>\n<p>As of {}.</p>\n",
            escaped(&self.day)
        );
        for license in &self.licenses {
            let _ = write!(html, "<section>\n<h2>{}</h2>\n", escaped(&license.heading()));
            if let Some(url) = &license.url {
                let _ = writeln!(html, "<p>{}</p>", link(url));
            }
            for (what, models) in [("Models", &license.models), ("Made from", &license.made_from)] {
                if !models.is_empty() {
                    let _ = write!(html, "<h3>{what}</h3>\n<ul>\n");
                    for model in models {
                        let _ = writeln!(html, "<li>{}</li>", escaped(&model.words()));
                    }
                    html.push_str("</ul>\n");
                }
            }
            for kind in &license.duties {
                let _ = writeln!(html, "<h3>Asked for: {}</h3>", kind.kind.name());
                for shown in &kind.texts {
                    let _ = writeln!(html, "<blockquote>{}</blockquote>", escaped(shown));
                }
                html.push_str("<ul>\n");
                for duty in &kind.duties {
                    let _ = writeln!(html, "<li>{}</li>", escaped(duty));
                }
                html.push_str("</ul>\n");
            }
            html.push_str("</section>\n");
        }
        if !self.refused.is_empty() {
            html.push_str("<section>\n<h2>Not to be used, and not covered above</h2>\n<ul>\n");
            for (model, reason) in &self.refused {
                let _ = writeln!(html, "<li>{}: {}</li>", escaped(model), escaped(reason));
            }
            html.push_str("</ul>\n</section>\n");
        }
        html.push_str("</body>\n</html>\n");
        html
    }
}

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}\
                     blockquote{font-weight:bold}h2{border-top:1px solid #ccc;padding-top:1em}";

impl LicenseNotice {
    fn heading(&self) -> String {
        match &self.spdx {
            Some(spdx) => format!("{} ({spdx})", self.title),
            None => self.title.clone(),
        }
    }

    fn owe(&mut self, kind: ObligationKind, duty: String) {
        let at = match self.duties.iter().position(|of| of.kind == kind) {
            Some(at) => at,
            None => {
                self.duties.push(KindOfDuty { kind, duties: Vec::new(), texts: Vec::new() });
                self.duties.len() - 1
            }
        };
        let of = &mut self.duties[at];
        // A mark of quotation in another duty is about a name, say, and nothing to show.
        if matches!(kind, ObligationKind::Display | ObligationKind::Notice | ObligationKind::Other) {
            for text in quoted(&duty) {
                push(&mut of.texts, text.to_owned());
            }
        }
        push(&mut of.duties, duty);
    }
}

impl NamedModel {
    fn words(&self) -> String {
        match &self.developer {
            Some(developer) => format!("{} by {developer}", self.name),
            None => self.name.clone(),
        }
    }
}

fn named(model: &Model) -> NamedModel {
    NamedModel { id: model.id.clone(), name: model.name.clone(), developer: Some(model.developer.clone()) }
}

/// The models that a model was made from and that state this licence themselves, the nearest first; a base without a row where
/// the licence stands beside the model's own.
fn made_from(catalog: &Catalog, model: &Model, license: &str) -> Vec<NamedModel> {
    let mut found = Vec::new();
    let mut met: Vec<&str> = vec![&model.id];
    let mut open = VecDeque::from([model]);
    while let Some(child) = open.pop_front() {
        // Whose licence stands beside that of the weights is the base's.
        if let Some(base) = child.base.as_deref().filter(|_| child.also_licenses.iter().any(|id| id == license)) {
            let name = base.to_owned();
            push(&mut found, NamedModel { id: name.clone(), name, developer: None });
        }
        for parent in child.parents.iter().filter(|parent| parent.by != Derivation::TrainedOn) {
            let Some(row) = catalog.model(&parent.of).filter(|row| !met.contains(&row.id.as_str())) else { continue };
            met.push(&row.id);
            if row.own_licenses().any(|id| id == license) {
                push(&mut found, named(row));
            }
            open.push_back(row);
        }
    }
    found
}

/// The texts in double quotation marks: the catalog writes what has to be shown so.
pub fn quoted(text: &str) -> impl Iterator<Item = &str> {
    // An opening mark without a closing one opens nothing.
    let parts: Vec<_> = text.split('"').collect();
    let pairs = (parts.len() - 1) / 2;
    parts.into_iter().skip(1).step_by(2).take(pairs).filter(|text| !text.trim().is_empty())
}

fn push<T: PartialEq>(list: &mut Vec<T>, value: T) {
    if !list.contains(&value) {
        list.push(value);
    }
}

/// What would break a line or move a cursor, written out.
fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\'' | '"' | '\\' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}

/// A value between tags or in quotation marks.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            '\'' => shown.push_str("&#39;"),
            c => shown.push(c),
        }
    }
    shown
}

/// An address to follow; as mere text where it is none of a page, such as `javascript:`.
fn link(url: &str) -> String {
    let shown = escaped(url);
    match url.starts_with("https://") || url.starts_with("http://") {
        true => format!("<a href=\"{shown}\">{shown}</a>"),
        false => shown,
    }
}

#[cfg(test)]
mod tests;
