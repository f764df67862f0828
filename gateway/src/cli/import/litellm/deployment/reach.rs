//! How a deployment is reached: its address and its key, neither of which is repeated where it could be a secret.

use remote::BaseUrl;

use super::{
    super::{environment, text},
    Names, One,
};
use crate::{
    cli::import::{
        finding::Grade,
        write::{Entry, literal, variable},
    },
    config::yaml::Node,
};

impl One<'_, '_, '_> {
    /// Notes the address, and answers whether a key may travel there, where that is known.
    pub(super) fn address(&mut self, entry: &mut Entry, node: &Node, suffix: &str) -> Option<bool> {
        let written = text(node).unwrap_or_default();
        if let Some(name) = environment(written) {
            entry.keys.push(("base_url", variable(name)));
            if !suffix.is_empty() {
                let next = format!("let `{name}` end in `{suffix}`");
                let became = "the same variable, which has to hold the address of the OpenAI API";
                self.findings.note(Grade::Manual, node.at.start, "api_base", became, Some(&next));
            }
            return None;
        }
        let trimmed = written.trim_end_matches('/');
        let address = if trimmed.ends_with(suffix) { trimmed.to_owned() } else { format!("{trimmed}{suffix}") };
        match BaseUrl::parse(&address) {
            Ok(url) => {
                entry.keys.push(("base_url", literal(&url.text)));
                Some(url.encrypted || url.loopback)
            }
            // A user, a password or a key may stand in it, so it is not repeated.
            Err(why) => {
                let name = self.free(&format!("{}_BASE_URL", upper(&entry.id)), written);
                let next = format!("set `{name}` to a plain address, such as https://api.example.com/v1");
                let became = format!("the variable `{name}`: as an address, {why}");
                self.findings.note(Grade::Manual, node.at.start, "api_base", became, Some(&next));
                entry.keys.push(("base_url", variable(&name)));
                None
            }
        }
    }

    /// Notes the key, never its value. `travels`: whether the address is fit for one.
    pub(super) fn key(&mut self, entry: &mut Entry, parameters: &Node, host: Option<&str>, travels: Option<bool>) {
        let usual = host.and_then(|id| self.catalog.host(id)).and_then(|host| host.key_env.first());
        let node = parameters.get("api_key");
        let name = match (node, usual) {
            (None, Some(usual)) => usual.clone(),
            (None, None) => return,
            (Some(node), usual) => match text(node) {
                Some(written) if environment(written).is_some() => environment(written).unwrap_or_default().to_owned(),
                written => {
                    let own = format!("{}_API_KEY", upper(&entry.id));
                    let name = self.free(usual.unwrap_or(&own), written.unwrap_or_default());
                    let next =
                        format!("set `{name}` where the gateway is started, and replace a key that others could read");
                    let became = format!("the variable `{name}`: a key does not stand in a file");
                    self.findings.note(Grade::Manual, node.at.start, "api_key, in clear", became, Some(&next));
                    name
                }
            },
        };
        self.names.variables.entry(name.clone()).or_default();
        entry.keys.push(("key", variable(&name)));
        if travels == Some(false) {
            entry.off = Some(
                "its key would travel unencrypted; let `base_url` begin with https, or take the key away".to_owned(),
            );
        }
    }

    /// A variable for a secret: this one, unless it stands for another already.
    fn free(&mut self, name: &str, secret: &str) -> String {
        let fits = |names: &Names, name: &str| match names.variables.get(name) {
            None => true,
            Some(known) => known.as_deref() == Some(secret),
        };
        let numbered = || (2..).map(|n| format!("{name}_{n}")).find(|name| fits(self.names, name));
        let name = if fits(self.names, name) { name.to_owned() } else { numbered().unwrap_or_default() };
        self.names.variables.insert(name.clone(), Some(secret.to_owned()));
        name
    }
}

/// An id as the beginning of a variable's name.
fn upper(id: &str) -> String {
    let name: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("M_{name}") } else { name }
}
