//! `split` and `shadow`: requests that ask other candidates first, or somebody else too.

use crate::{
    diag::{Code, nearest},
    read::{Reader, Spanned},
    route::{ArmText, Places, ShadowText, SplitText},
    split::By,
    yaml::{Node, Value},
};

/// The most arms of a split.
const MAX_ARMS: usize = 16;
/// The longest name of an arm, in bytes: it is a header of answers and stands in records.
const LONGEST_NAME: usize = 64;

impl Reader<'_> {
    /// Notes the headers and entries of `metadata` that it speaks of in `places`.
    pub(super) fn split(&mut self, node: &Node, places: &mut Places) -> Option<SplitText> {
        let fields = self.fields(node, "`split`", &["by", "arms"])?;
        let by = fields.get("by").map_or(Some(By::Key), |n| self.by(n, places));
        let node = self.required(&fields, "arms")?;
        let items = self.items(node, "an arm");
        let (many, at) = (items.len(), node.at.clone());
        let arms: Vec<ArmText> = items.into_iter().take(MAX_ARMS).filter_map(|item| self.arm(item)).collect();
        if many > MAX_ARMS {
            let message = format!("{many} arms; at most {MAX_ARMS} are read");
            self.error(Code::WrongValue, &at, message, "too many");
        } else if many == 1 {
            let hint = "a second arm without `candidates` leaves the rest of the requests as they are";
            self.error_with_hint(Code::WrongValue, &at, "a split needs two arms", "only one", hint);
        }
        for (index, arm) in arms.iter().enumerate() {
            if arms[..index].iter().any(|other| other.name.value == arm.name.value) {
                let message = format!("two arms have the name `{}`", arm.name.value);
                self.error_with_hint(Code::DuplicateArm, &arm.name.at, message, "again here", "give it another name");
            }
        }
        if arms.len() == many && arms.iter().all(|arm| arm.weight == 0) {
            self.error(Code::WrongValue, &at, "no arm has a weight", "nobody is on any of them");
        }
        Some(SplitText { by: by?, arms }).filter(|split| !split.arms.is_empty())
    }

    fn arm(&mut self, node: &Node) -> Option<ArmText> {
        let fields = self.fields(node, "an arm", &["name", "weight", "candidates"])?;
        let name = self.required(&fields, "name").and_then(|n| self.text(n, "a name"));
        let weight = self.required(&fields, "weight").and_then(|n| self.whole(n, "a weight", 0..=1_000_000));
        let candidates = fields.get("candidates").map(|n| self.candidates(n)).unwrap_or_default();
        let name = name.filter(|name| {
            let visible = name.value.len() <= LONGEST_NAME && name.value.bytes().all(|byte| byte.is_ascii_graphic());
            if !visible {
                let message = format!("`{}` is not the name of an arm", name.value);
                let label = format!("expected at most {LONGEST_NAME} visible ASCII characters");
                self.error(Code::WrongValue, &name.at, message, label);
            }
            visible
        });
        Some(ArmText { name: name?, weight: weight? as u32, candidates })
    }

    fn by(&mut self, node: &Node, places: &mut Places) -> Option<By> {
        let Value::Map(_) = node.value else {
            let text = self.text(node, "what keeps a request on its arm")?;
            let found = By::WORDS.into_iter().find(|(word, _)| *word == text.value).map(|(_, by)| by);
            if found.is_none() {
                let words = By::WORDS.map(|(word, _)| word);
                let hint = match nearest(&text.value, words) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("expected one of {}, {{header: NAME}} or {{metadata: NAME}}", words.join(", ")),
                };
                let message = format!("`{}` is not what a split can go by", text.value);
                self.error_with_hint(Code::WrongValue, &text.at, message, "not a value of this key", hint);
            }
            return found;
        };
        let fields = self.fields(node, "`by`", &["header", "metadata"])?;
        let mut name = |key| fields.get(key).and_then(|n| self.text(n, "a name"));
        let (header, metadata) = (name("header"), name("metadata"));
        match (header, metadata) {
            (Some(Spanned { value, at }), None) => {
                let value = value.to_ascii_lowercase();
                places.headers.push(Spanned { value: value.clone(), at });
                Some(By::Header(value))
            }
            (None, Some(name)) => {
                places.metadata.push(name.clone());
                Some(By::Metadata(name.value))
            }
            _ => {
                let message = "a split goes by one header or one entry of `metadata`";
                self.error(Code::WrongValue, &node.at, message, "expected `header: NAME` or `metadata: NAME`");
                None
            }
        }
    }

    pub(super) fn shadow(&mut self, node: &Node) -> Option<ShadowText> {
        let fields = self.fields(node, "`shadow`", &["share", "candidates"])?;
        let share = self.required(&fields, "share").and_then(|node| {
            let share = self.amount(node, "a share of the requests")?;
            if share > 1.0 || share <= 0.0 {
                let message = format!("{share} is not a share of the requests");
                self.error(Code::WrongValue, &node.at, message, "expected more than 0 and at most 1");
                return None;
            }
            Some(share)
        });
        let candidates = self.required(&fields, "candidates").map(|n| self.candidates(n));
        Some(ShadowText { share: share?, candidates: candidates? })
    }
}
