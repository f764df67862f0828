//! `attempts` and `on_none`: how a plan is worked through, and what becomes of a request that nobody may serve.

use std::time::Duration;

use crate::{
    Attempts, Deadlines, FailureClasses, Group, HedgeAfter, Queue, Reuse,
    attempts::MOST_AGAIN,
    diag::Code,
    plan::MAX_CANDIDATES,
    read::{Fields, Reader},
    route::{GroupText, OnNone},
    yaml::{Node, Value},
};

/// The most groups of one route.
const MAX_GROUPS: usize = 16;
/// The longest that a request may wait.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// How many requests of a route wait at a time, unless it says otherwise, and the most that it may say.
const WAITING: u32 = 100;
const MOST_WAITING: u64 = 10_000;

impl Reader<'_> {
    /// `on_none`: `refuse`, whom to ask instead, or how long to wait.
    pub(super) fn on_none(&mut self, node: &Node) -> OnNone {
        if !matches!(node.value, Value::Map(_)) {
            self.word(node, "a value of `on_none`", &[("refuse", ())]);
            return OnNone::Refuse;
        }
        let Some(fields) = self.fields(node, "`on_none`", &["degrade_to", "queue"]) else { return OnNone::Refuse };
        match (fields.get("degrade_to"), fields.get("queue")) {
            (Some(_), Some(_)) => {
                let message = "a route degrades or queues, not both";
                self.error_with_hint(Code::Contradiction, &node.at, message, "two at once", "keep one of them");
                OnNone::Refuse
            }
            (None, Some(queue)) => self.queue(queue).map_or(OnNone::Refuse, OnNone::Queue),
            (_, None) => {
                let degrade_to = self.required(&fields, "degrade_to").map(|n| self.candidates(n));
                degrade_to.map_or(OnNone::Refuse, OnNone::DegradeTo)
            }
        }
    }

    fn queue(&mut self, node: &Node) -> Option<Queue> {
        let fields = self.fields(node, "`queue`", &["wait", "max"])?;
        let wait = self.required(&fields, "wait")?;
        let wait = self.duration(wait, "a time to wait").filter(|asked| {
            let fits = *asked <= LONGEST_WAIT;
            if !fits {
                let message = format!("a request would wait {} s", asked.as_secs());
                self.error(Code::WrongValue, &wait.at, message, "at most `5m`");
            }
            fits
        });
        let max = fields.get("max").and_then(|n| self.whole(n, "a number of requests", 1..=MOST_WAITING));
        Some(Queue { wait: wait?, max: max.map_or(WAITING, |max| max as u32) })
    }

    /// `reuse`: for how long answers are given again, and which.
    pub(super) fn reuse(&mut self, node: &Node) -> Option<Reuse> {
        let fields = self.fields(node, "`reuse`", &["ttl", "sampled"])?;
        let ttl = self.required(&fields, "ttl").and_then(|n| self.duration(n, "a time to keep answers"));
        let sampled = fields.get("sampled").and_then(|n| self.truth(n, "a value of `sampled`"));
        Some(Reuse { ttl: ttl?, sampled: sampled.unwrap_or(false) })
    }

    pub(super) fn attempts(&mut self, node: &Node) -> (Attempts, Vec<GroupText>) {
        let mut attempts = Attempts::default();
        let keys = ["max", "again", "hedge_after", "budget", "on", "deadlines", "groups"];
        let Some(fields) = self.fields(node, "`attempts`", &keys) else { return (attempts, Vec::new()) };
        if let Some(max) = self.number_of_attempts(&fields) {
            attempts.max = max;
        }
        let again = fields.get("again").and_then(|n| self.whole(n, "a number of attempts", 0..=MOST_AGAIN));
        attempts.again = again.map_or(0, |again| again as u32);
        attempts.hedge_after = fields.get("hedge_after").and_then(|n| self.hedge_after(n));
        if let Some(budget) = fields.get("budget").and_then(|n| self.duration(n, "a budget")) {
            attempts.budget = budget;
        }
        if let Some(node) = fields.get("on") {
            attempts.on = self.failures(node);
        }
        attempts.deadlines = self.deadlines(&fields, attempts.deadlines);
        let Some(node) = fields.get("groups") else { return (attempts, Vec::new()) };
        let items = self.items(node, "a group of attempts");
        if items.len() > MAX_GROUPS {
            let message = format!("{} groups; at most {MAX_GROUPS} are read", items.len());
            self.error(Code::WrongValue, &node.at, message, "too many");
        }
        let groups = items.into_iter().take(MAX_GROUPS).filter_map(|item| self.group(item, &attempts)).collect();
        (attempts, groups)
    }

    fn hedge_after(&mut self, node: &Node) -> Option<HedgeAfter> {
        match &node.value {
            Value::Scalar { text, .. } if text == "p95" => Some(HedgeAfter::P95),
            _ => self.duration(node, "a time, or `p95`").map(HedgeAfter::Time),
        }
    }

    fn group(&mut self, node: &Node, attempts: &Attempts) -> Option<GroupText> {
        let fields = self.fields(node, "a group of attempts", &["candidates", "after", "max", "on", "deadlines"])?;
        let candidates = self.required(&fields, "candidates").map(|n| self.candidates(n))?;
        let group = Group {
            after: fields.get("after").map(|n| self.failures(n)).unwrap_or_default(),
            max: self.number_of_attempts(&fields),
            on: fields.get("on").map_or(attempts.on, |n| self.failures(n)),
            deadlines: self.deadlines(&fields, attempts.deadlines),
        };
        Some(GroupText { candidates, group })
    }

    fn number_of_attempts(&mut self, fields: &Fields<'_>) -> Option<u32> {
        let max = fields.get("max").and_then(|n| self.whole(n, "a number of attempts", 1..=MAX_CANDIDATES as u64));
        max.map(|max| max as u32)
    }

    fn failures(&mut self, node: &Node) -> FailureClasses {
        let words = FailureClasses::words();
        let items = self.items(node, "a failure class");
        let classes = items.into_iter().filter_map(|n| self.word(n, "a failure class", &words));
        classes.fold(FailureClasses::default(), FailureClasses::and)
    }

    fn deadlines(&mut self, fields: &Fields<'_>, or: Deadlines) -> Deadlines {
        let keys = ["connect", "headers", "first_token", "idle", "total"];
        let Some(fields) = self.section(fields, "deadlines", "`deadlines`", &keys) else { return or };
        let mut of = |key, or| fields.get(key).and_then(|n| self.duration(n, "a deadline")).unwrap_or(or);
        Deadlines {
            connect: of("connect", or.connect),
            headers: of("headers", or.headers),
            first_token: of("first_token", or.first_token),
            idle: of("idle", or.idle),
            total: of("total", or.total),
        }
    }
}
