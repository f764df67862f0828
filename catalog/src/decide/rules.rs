//! The names of all rules that decide. They are stable: policies, waivers, ledgers and people keep them.

/// Every rule that a decision can name, with its meaning.
pub const RULES: [(&str, &str); 29] = [
    ("tier1-free", "every licence allows any use without condition"),
    ("tier2-conditional", "the licence allows the use on conditions"),
    ("tier3-allowed-purpose", "a research licence allows this purpose"),
    ("tier4-allowed-purpose", "a non-commercial licence allows this purpose"),
    ("agreement", "an agreement of the company allows the use"),
    ("license-purpose", "a licence of tier 1 or 2 does not allow this purpose"),
    ("tier3-commercial", "a research licence does not allow business use"),
    ("tier3-purpose", "a research licence does not allow this purpose"),
    ("tier4-commercial", "a non-commercial licence does not allow business use"),
    ("tier4-purpose", "a non-commercial licence does not allow this purpose"),
    ("tier5-closed", "nothing is allowed without a contract"),
    ("license-unknown", "no licence is known"),
    ("adapter-unknown", "an adapter or a draft is loaded that the catalog does not know"),
    ("weights-not-clarified", "counsel spoke of other weights than those that are served"),
    ("clarification-over", "what counsel concluded of the weights does not hold on this day"),
    ("company-rule", "a rule of the company's own holds back"),
    ("third-party-service", "offering the model to third parties needs a contract"),
    ("prohibited-domain", "the terms forbid this field of use"),
    ("outputs-training", "other models may not be trained on what the model writes"),
    ("outputs-unknown", "it is not known whether other models may be trained on what the model writes"),
    ("territory-seat", "the licence withholds rights from licensees of this seat"),
    ("territory-seat-unknown", "the licence withholds rights by seat, and the context states none that is a country"),
    ("condition-not-met", "a condition of the licence is attested not to be met"),
    ("attestation-missing", "nobody answers for a condition of the licence"),
    ("model-does-not-exist", "there is no model of this name"),
    ("weights-not-released", "the weights were announced and never published"),
    ("api-retired", "the model was an API only, and that has ended"),
    ("not-a-model", "the name stands for a project, recipe, data set or family"),
    ("availability-unknown", "it is not known whether the model can be had"),
];

/// Whether a waiver may lift a rule. What is not known, cannot be had or takes a contract in any case stays refused, and a
/// rule that allows has nothing to lift.
pub fn can_be_waived(rule: &str) -> bool {
    const LIFTABLE: [&str; 13] = [
        "license-purpose",
        "tier3-commercial",
        "tier3-purpose",
        "tier4-commercial",
        "tier4-purpose",
        "third-party-service",
        "prohibited-domain",
        "outputs-training",
        "outputs-unknown",
        "territory-seat",
        "territory-seat-unknown",
        "condition-not-met",
        "attestation-missing",
    ];
    LIFTABLE.contains(&rule)
}
