//! The evaluation of the `cel` crate is another one of the same language: ours agrees with it.

use std::{collections::HashMap, sync::Arc};

use catalog::{Domain, Exposure, Purpose, Use};
use cel::{Context, Env, Value};
use proptest::{collection::vec, prelude::*};

use crate::{
    Capability, Facts, Needs,
    condition::{Condition, ConditionError, MAX_BYTES, Problem},
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_condition_means_what_the_crate_makes_of_it(choices in vec(any::<u8>(), 1..120)) {
        let mut choices = Choices(choices.iter().copied().cycle().take(400).collect::<Vec<_>>().into_iter());
        let facts = choices.facts();
        let text = choices.test(4, false);
        prop_assume!(text.len() <= MAX_BYTES);
        match Condition::compile(&text) {
            Err(problems) => {
                // What those who made it did not look at. It is left out, and the test fails if that is too often.
                let known = |problem: &Problem| ["has no value", "never has the value"].iter().any(|m| problem.message.contains(m));
                prop_assert!(problems.iter().all(known), "{text}: {problems:#?}");
                prop_assume!(false);
            }
            Ok(condition) => {
                let ours = condition.holds(&facts);
                let theirs = by_the_crate(&text, &facts);
                match (&ours, &theirs) {
                    (Ok(ours), Ok(Value::Bool(theirs))) => prop_assert_eq!(ours, theirs, "{}", text),
                    (Err(_), Err(_)) => {}
                    _ => prop_assert!(false, "{text}: {ours:?}, {theirs:?}"),
                }
                if let Err(ConditionError::Absent(fact)) = &ours {
                    prop_assert!(condition.uses().reads(fact));
                    prop_assert!(!condition.warnings().is_empty(), "{text}: `{fact}` is read unasked");
                }
            }
        }
    }
}

/// What the crate makes of an expression, given the facts as one map.
fn by_the_crate(text: &str, facts: &Facts) -> cel::ResolveResult {
    let texts = |tags: &[(String, String)]| Value::from(tags.iter().cloned().collect::<HashMap<String, String>>());
    let words = |words: Vec<&str>| Value::from(words.into_iter().map(str::to_owned).collect::<Vec<String>>());
    let number = |number: u64| Value::from(i64::try_from(number).unwrap_or(i64::MAX));
    let use_ = &facts.use_;
    let mut of_use: HashMap<String, Value> = HashMap::from([
        ("purpose".to_owned(), use_.purpose.name().into()),
        ("exposure".to_owned(), use_.exposure.name().into()),
        ("activity".to_owned(), use_.activity.name().into()),
        ("domains".to_owned(), words(use_.domains.iter().map(|domain| domain.name()).collect())),
        ("end_users".to_owned(), use_.end_users.clone().into()),
    ]);
    of_use.extend(use_.seat.iter().map(|seat| ("seat".to_owned(), seat.as_str().into())));
    of_use.extend(use_.entity.iter().map(|entity| ("entity".to_owned(), entity.as_str().into())));
    let mut request: HashMap<String, Value> = HashMap::from([
        ("use".to_owned(), of_use.into()),
        ("model".to_owned(), facts.model_asked.as_str().into()),
        ("language".to_owned(), facts.language.as_deref().unwrap_or("unknown").into()),
        ("script".to_owned(), facts.script.as_deref().unwrap_or("unknown").into()),
        ("prompt_tokens".to_owned(), number(facts.prompt_tokens)),
        ("stream".to_owned(), facts.stream.into()),
        ("needs".to_owned(), words(facts.needs.capabilities().iter().map(Capability::as_str).collect())),
        ("headers".to_owned(), texts(&facts.headers)),
        ("metadata".to_owned(), texts(&facts.metadata)),
    ]);
    request.extend(facts.max_tokens.map(|tokens| ("max_tokens".to_owned(), number(tokens))));
    for (name, value) in [("team", &facts.team), ("key", &facts.key), ("context", &facts.context)] {
        request.extend(value.iter().map(|value| (name.to_owned(), value.as_str().into())));
    }
    let env = Arc::new(Env::stdlib());
    let program = env.compile(text).expect("what is a condition is CEL");
    let mut context = Context::with_env(env);
    context.add_variable_from_value("request", request);
    program.execute(&context)
}

/// Random bytes, of which requests and expressions of the right types are made; at their end everything is the first.
struct Choices(std::vec::IntoIter<u8>);

impl Choices {
    fn one<'c, T: ?Sized>(&mut self, of: &[&'c T]) -> &'c T {
        of[usize::from(self.0.next().unwrap_or(0)) % of.len()]
    }

    fn flag(&mut self) -> bool {
        self.0.next().unwrap_or(0) % 2 == 1
    }

    fn maybe(&mut self, of: &[&str]) -> Option<String> {
        self.flag().then(|| self.one(of).to_owned())
    }

    fn facts(&mut self) -> Facts {
        let numbers = [&0, &1, &7, &1_000, &u64::MAX];
        let use_ = Use {
            seat: self.maybe(&["DE", "KR"]),
            entity: self.maybe(&["acme"]),
            end_users: self.maybe(&["DE", "FR"]).into_iter().chain(self.maybe(&["KR"])).collect(),
            domains: if self.flag() { vec![Domain::Medical, Domain::Weapons] } else { Vec::new() },
            ..Use::new(
                *self.one(&[&Purpose::Revenue, &Purpose::Personal]),
                *self.one(&[&Exposure::Public, &Exposure::Internal]),
            )
        };
        Facts {
            team: self.maybe(&["support", "ops"]),
            key: self.maybe(&["k1"]),
            context: self.maybe(&["bot"]),
            language: self.maybe(&["ko", "en"]),
            script: self.maybe(&["hangul"]),
            prompt_tokens: *self.one(&numbers),
            max_tokens: self.flag().then(|| *self.one(&numbers)),
            needs: Needs { tools: self.flag(), image: self.flag(), ..Needs::default() },
            stream: self.flag(),
            headers: self.maybe(&["gold", ""]).map(|value| ("x-tier".to_owned(), value)).into_iter().collect(),
            metadata: self.maybe(&["apollo"]).map(|value| ("project".to_owned(), value)).into_iter().collect(),
            ..Facts::new(self.one(&["auto", "qwen3-32b", "äöü"]), use_, "2026-11-25".parse().expect("a date"))
        }
    }

    /// An expression that is true or false; `in_loop`, where the item is called `n`.
    fn test(&mut self, depth: usize, in_loop: bool) -> String {
        let list = |choices: &mut Self| choices.one(&["request.needs", "request.use.domains", "request.use.end_users"]);
        if depth == 0 {
            return self
                .one(&[
                    "request.stream",
                    "has(request.team)",
                    "has(request.max_tokens)",
                    "true",
                    "false",
                    "('x-tier' in request.headers)",
                ])
                .to_owned();
        }
        let deeper = depth - 1;
        match self.0.next().unwrap_or(0) % 14 {
            0 => self.test(0, in_loop),
            1 | 2 => format!("({} && {})", self.test(deeper, in_loop), self.test(deeper, in_loop)),
            3 | 4 => format!("({} || {})", self.test(deeper, in_loop), self.test(deeper, in_loop)),
            5 => format!("!({})", self.test(deeper, in_loop)),
            6 => format!(
                "({} ? {} : {})",
                self.test(deeper, in_loop),
                self.test(deeper, in_loop),
                self.test(deeper, in_loop)
            ),
            7 => format!("({} {} {})", self.text(deeper, in_loop), self.one(&["==", "!="]), self.text(deeper, in_loop)),
            8 => format!("({} in ['DE', 'auto', 'tools', 'support', 'gold'])", self.text(deeper, in_loop)),
            9 => format!("({} in request.use.end_users)", self.text(deeper, in_loop)),
            10 => {
                let function = self.one(&["startsWith", "endsWith", "contains"]);
                format!("{}.{function}({})", self.text(deeper, in_loop), self.text(deeper, in_loop))
            }
            11 => {
                let order = self.one(&["==", "!=", "<", "<=", ">", ">="]);
                format!("({} {order} {})", self.number(deeper, in_loop), self.number(deeper, in_loop))
            }
            12 if !in_loop => {
                format!("{}.{}(n, {})", list(self), self.one(&["exists", "all"]), self.test(deeper, true))
            }
            12 => format!("({} in [0, 1, -7, 300])", self.number(deeper, in_loop)),
            _ => format!("({} == {})", self.test(deeper, in_loop), self.test(deeper, in_loop)),
        }
    }

    fn text(&mut self, depth: usize, in_loop: bool) -> String {
        if depth > 0 && self.0.next().unwrap_or(0).is_multiple_of(5) {
            let parts = (self.test(depth - 1, in_loop), self.text(depth - 1, in_loop), self.text(depth - 1, in_loop));
            return format!("({} ? {} : {})", parts.0, parts.1, parts.2);
        }
        if in_loop && self.flag() {
            return "n".to_owned();
        }
        let texts = [
            "request.model",
            "request.team",
            "request.key",
            "request.context",
            "request.language",
            "request.use.seat",
            "request.use.entity",
            "request.headers['x-tier']",
            "request.metadata.project",
            "'support'",
            "'o'",
            "''",
        ];
        self.one(&texts).to_owned()
    }

    fn number(&mut self, depth: usize, in_loop: bool) -> String {
        if depth > 0 {
            match self.0.next().unwrap_or(0) % 6 {
                0 | 1 => {
                    let sum = self.one(&["+", "-", "*", "/", "%"]);
                    return format!("({} {sum} {})", self.number(depth - 1, in_loop), self.number(depth - 1, in_loop));
                }
                2 => return format!("-({})", self.number(depth - 1, in_loop)),
                3 => return format!("size({})", self.text(depth - 1, in_loop)),
                _ => {}
            }
        }
        let numbers = [
            "request.prompt_tokens",
            "request.max_tokens",
            "size(request.needs)",
            "0",
            "1",
            "-7",
            "9223372036854775807",
        ];
        self.one(&numbers).to_owned()
    }
}
