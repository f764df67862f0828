//! Where a `provider/name` of LiteLLM runs, in the catalog's words.

use catalog::Catalog;

/// A place that the configuration can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    /// A host of the catalog.
    Host(&'static str),
    /// A server of one's own, with what its base address ends in beyond LiteLLM's `api_base`.
    Server(&'static str, &'static str),
    /// An address that speaks OpenAI's API and is not said to be anything else.
    Compatible,
}

/// LiteLLM's prefixes of what the catalog has.
const PROVIDERS: [(&str, Provider); 16] = [
    ("groq", Provider::Host("groq")),
    ("together_ai", Provider::Host("together")),
    ("fireworks_ai", Provider::Host("fireworks")),
    ("deepinfra", Provider::Host("deepinfra")),
    ("openrouter", Provider::Host("openrouter")),
    ("huggingface", Provider::Host("huggingface")),
    ("cerebras", Provider::Host("cerebras")),
    ("sambanova", Provider::Host("sambanova")),
    ("replicate", Provider::Host("replicate")),
    ("hosted_vllm", Provider::Server("vllm", "")),
    ("lm_studio", Provider::Server("lm-studio", "")),
    ("ollama", Provider::Server("ollama", "/v1")),
    ("ollama_chat", Provider::Server("ollama", "/v1")),
    ("openai", Provider::Compatible),
    ("text-completion-openai", Provider::Compatible),
    ("custom_openai", Provider::Compatible),
];

/// The provider's prefix, the provider if the catalog has it, and the model's name there. Without a prefix LiteLLM
/// guesses; most such names are OpenAI's.
pub(super) fn split<'a>(model: &'a str, custom: Option<&'a str>) -> (&'a str, Option<Provider>, &'a str) {
    let (prefix, name) = match (custom, model.split_once('/')) {
        (Some(custom), _) => {
            (custom, model.strip_prefix(custom).and_then(|rest| rest.strip_prefix('/')).unwrap_or(model))
        }
        (None, Some((prefix, name))) => (prefix, name),
        (None, None) => ("openai", model),
    };
    let found = PROVIDERS.iter().find(|(known, _)| *known == prefix).map(|(_, provider)| *provider);
    (prefix, found, name)
}

/// The host whose own address this is: many name it where they mean the host.
pub(super) fn at(address: &str, catalog: &Catalog) -> Option<Provider> {
    let address = address.trim_end_matches('/');
    let is_its = |id: &str| catalog.host(id).is_some_and(|host| host.base_url == address);
    let mut providers = PROVIDERS.iter().map(|(_, provider)| *provider);
    providers.find(|provider| matches!(provider, Provider::Host(id) if is_its(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_and_server_that_a_prefix_stands_for_is_in_the_catalog() {
        let catalog = catalog::Catalog::builtin();
        for (prefix, provider) in PROVIDERS {
            match provider {
                Provider::Host(id) => assert!(catalog.host(id).is_some(), "{prefix}"),
                Provider::Server(id, _) => assert!(catalog.server(id).is_some(), "{prefix}"),
                Provider::Compatible => {}
            }
        }
        let all: Vec<_> = catalog.hosts().map(|host| host.id.as_str()).collect();
        let known =
            |id: &str| PROVIDERS.iter().any(|(_, provider)| matches!(provider, Provider::Host(host) if *host == id));
        assert!(all.iter().all(|id| known(id)), "{all:?}");
    }

    #[test]
    fn the_name_at_a_provider_keeps_its_slashes() {
        assert_eq!(
            split("together_ai/Qwen/Qwen3-32B", None),
            ("together_ai", Some(Provider::Host("together")), "Qwen/Qwen3-32B")
        );
        assert_eq!(split("gpt-4o", None), ("openai", Some(Provider::Compatible), "gpt-4o"));
        assert_eq!(split("Qwen/Qwen3-32B", Some("hosted_vllm")).2, "Qwen/Qwen3-32B");
        assert_eq!(split("bedrock/x", None), ("bedrock", None, "x"));
    }
}
