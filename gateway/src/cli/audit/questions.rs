//! `pointsman audit questions`: what compliance officers, counsel, auditors and engineers ask, and the command that answers it.

use super::document::{Document, Table};

/// Who asks, what, and the command.
const QUESTIONS: &[(&str, &str, &str)] = &[
    (
        "compliance",
        "Which teams sent public traffic to a tier-3 model, under which policy, and who approved it? Is all of it still there?",
        "pointsman audit usage --tier 3 --exposure public --from 2026-10-01 --to 2026-11-01 --verify",
    ),
    (
        "counsel",
        "Which licences bind this model, each for which reason?",
        "pointsman license explain MODEL --config FILE --context NAME",
    ),
    (
        "counsel",
        "What did the catalog say of a model on a day, and what do we know now of that day?",
        "pointsman catalog as-of MODEL --valid 2024-10-08 --known 2024-10-08",
    ),
    (
        "counsel",
        "Which outputs of a licence that reaches them went to training or distillation?",
        "pointsman audit usage --reach outputs --purpose distillation,training-data",
    ),
    (
        "compliance",
        "Which waivers end soon, which are unused, which carry much, was one relied on out of its time?",
        "pointsman audit exceptions --soon 30 --over 1000",
    ),
    (
        "auditor",
        "Is this record in the ledger? Show me without the others.",
        "pointsman-audit prove LEDGER NUMBER --key KEY",
    ),
    ("auditor", "Has anything been changed or cut off?", "pointsman-audit verify LEDGER --key KEY --checkpoint FILE"),
    (
        "auditor",
        "Do all recorded licence decisions come out the same again?",
        "pointsman audit replay --from 2026-10-01",
    ),
    (
        "auditor",
        "Which texts decided when, what changed in them, and what traffic did that touch?",
        "pointsman audit history",
    ),
    (
        "engineer",
        "Why was this request refused or sent elsewhere, and what is the least that would let it be served?",
        "pointsman explain --decision REQUEST --config FILE",
    ),
    ("engineer", "What would change under this new policy?", "pointsman backtest --config new.yaml --since 30d"),
    (
        "engineer",
        "Did a fallback, retry, mirror or repeated answer serve what was not decided?",
        "pointsman audit crossings",
    ),
    (
        "compliance",
        "Which models were asked for whose licence evidence is unknown, contradicted or old?",
        "pointsman audit health",
    ),
    (
        "compliance",
        "What rests on this attestation, agreement or waiver, and which decisions fall without it?",
        "pointsman audit impact ID",
    ),
    (
        "procurement",
        "Which licence decisions change if this company becomes our affiliate?",
        "pointsman license acquire ENTITY --config FILE --figure monthly-users=NUMBER --seat COUNTRY",
    ),
    (
        "counsel",
        "What does this product have to say of the models in it?",
        "pointsman license notice --config FILE --context NAME --html",
    ),
    (
        "counsel",
        "What does this product owe for the models that served it, and did somebody see it done?",
        "pointsman audit obligations --context NAME",
    ),
    (
        "counsel",
        "Do the pages that show what licences ask for still show it, today?",
        "pointsman license check-evidence --config FILE",
    ),
    (
        "team",
        "Which models may my key use, and what must I show for them?",
        "curl -H \"authorization: Bearer $POINTSMAN_KEY\" https://GATEWAY/v1/whoami",
    ),
    (
        "auditor",
        "Does today's ledger extend the one that I was shown last quarter?",
        "pointsman-audit prove-consistency LEDGER --key KEY --old CHECKPOINT",
    ),
    (
        "auditor",
        "Was a tail cut off? What do anchors, witnesses and callers' receipts say?",
        "pointsman-audit verify LEDGER --key KEY --anchors FOLDER --receipts FILE",
    ),
    (
        "auditor",
        "Did anybody use our engines and servers by another way than the gateway?",
        "pointsman audit reconcile",
    ),
    (
        "analyst",
        "Does the index that I ask in SQL say what the ledger says?",
        "pointsman audit index --check --config FILE",
    ),
    (
        "auditor",
        "Are these records, which I got as a Parquet file without the ledger, those that were signed?",
        "pointsman audit parquet --check FILE --log-key KEY",
    ),
    (
        "incident",
        "Since when, how often and by whom was this licence used in public, what is to be shut off, what covered it?",
        "pointsman audit incident --license LICENSE --exposure public",
    ),
    (
        "procurement",
        "Which model files were pulled, at which commit, under which licence, and is every byte still what it was?",
        "pointsman models verify --config FILE",
    ),
    (
        "privacy",
        "Which personal data is in the ledger and beside it, under which retention and hold, and how is it erased?",
        "pointsman privacy inventory --config FILE",
    ),
    (
        "privacy",
        "Erase somebody from the ledger, so that every proof still verifies.",
        "pointsman privacy erase --key ID --config FILE",
    ),
];

/// The questions.
pub(super) fn document() -> Document {
    let mut document = Document::new("Questions, and the commands that answer them");
    let mut table = Table::new("questions", "Questions", &["who", "question", "command"]);
    table.rows = QUESTIONS
        .iter()
        .map(|(who, question, command)| vec![(*who).into(), (*question).into(), (*command).into()])
        .collect();
    document.tables = vec![table];
    document
}
