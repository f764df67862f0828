//! A cell of the table: one fault met by one kind of request. No I/O.

use scripted::{Door, Fault};

/// The text that every request asks about, with characters of two, three and four bytes.
pub const PROMPT: &str = "grüße aus 日本 🦀";

/// Faults of which the scripted host's own table has no example, or none whose number matters here.
const MORE: [&str; 28] = [
    "fault-400",
    "fault-401",
    "fault-402",
    "fault-403",
    "fault-404",
    "fault-405",
    "fault-408",
    "fault-409",
    "fault-413",
    "fault-422",
    "fault-429",
    "fault-502",
    "fault-503",
    "fault-504",
    "fault-529",
    "fault-slow-headers-60000",
    "fault-cut-after-0",
    "fault-cut-after-1",
    // After the finish reason, or before it.
    "fault-cut-after-5",
    "fault-cut-after-6",
    "fault-reset-after-0",
    "fault-half-close-after-0",
    "fault-stall-after-0",
    "fault-stall-after-1",
    "fault-stall-after-5",
    "fault-stall-after-6",
    "fault-error-first-400",
    "fault-error-first-429",
];

/// Faults that only a deadline of the gateway ends, for some kind of request.
const HANGING: [&str; 9] = [
    "fault-silent",
    "fault-slow-headers-60000",
    "fault-stall-after-0",
    "fault-stall-after-1",
    "fault-stall-after-2",
    "fault-stall-after-5",
    "fault-stall-after-6",
    "fault-endless-10",
    "door silent-handshake",
];

/// Hosts of the catalog whose way of refusing is played: there the chat deployment is one at that host.
const HOSTS: [&str; 6] = ["groq", "together", "fireworks", "openrouter", "cerebras", "sambanova"];

/// Names of all rows, in the order of the table.
pub fn rows() -> Vec<String> {
    let faults = Fault::TABLE.iter().map(|(name, _)| *name).chain(MORE).map(str::to_owned);
    let doors = Door::TABLE.iter().map(|(_, name, _)| format!("door {name}"));
    std::iter::once("no fault".to_owned()).chain(faults).chain(doors).collect()
}

/// The API of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Chat,
    Completions,
    Responses,
    Messages,
}

impl Api {
    pub const ALL: [Api; 4] = [Self::Chat, Self::Completions, Self::Responses, Self::Messages];

    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Chat => "Chat",
            Self::Completions => "Completions",
            Self::Responses => "Responses",
            Self::Messages => "Messages",
        }
    }
}

/// One fault, one kind of request.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Its place among all cells: its route and its deployment are named after it, so that no cell sees what another
    /// taught the gateway.
    pub number: usize,
    /// The row.
    pub fault: String,
    pub api: Api,
    pub stream: bool,
    /// Whether a healthy candidate comes second.
    pub second: bool,
}

impl Cell {
    /// Every cell of the table, those of a row together.
    pub fn all() -> Vec<Self> {
        let mut cells = Vec::new();
        for fault in rows() {
            for api in Api::ALL {
                for (stream, second) in [(false, false), (false, true), (true, false), (true, true)] {
                    cells.push(Self { number: cells.len(), fault: fault.clone(), api, stream, second });
                }
            }
        }
        cells
    }

    /// The name that its requests ask for.
    pub fn model(&self) -> String {
        format!("cell-{}", self.number)
    }

    /// The deployment that fails.
    pub fn first(&self) -> String {
        format!("first-{}", self.number)
    }

    pub fn door(&self) -> Option<Door> {
        self.fault.strip_prefix("door ").and_then(|door| door.parse().ok())
    }

    /// How many requests it takes to see the fault whole.
    pub fn requests(&self) -> usize {
        match self.fault.parse() {
            Ok(Fault::Burst(refused, _)) => usize::from(refused) + 1,
            _ => 1,
        }
    }

    /// Whether it takes a deadline to end it, which then is a short one.
    pub fn hangs(&self) -> bool {
        HANGING.contains(&self.fault.as_str())
    }

    /// The host of the catalog that fails, if it is to be one.
    pub fn host(&self) -> Option<&str> {
        let (_, host) = self.fault.split_once("-as-")?;
        (self.api == Api::Chat && HOSTS.contains(&host)).then_some(host)
    }

    /// The request's body.
    pub fn body(&self) -> serde_json::Value {
        let mut body = serde_json::json!({"model": self.model(), "stream": self.stream});
        match self.api {
            Api::Chat => body["messages"] = serde_json::json!([{"role": "user", "content": PROMPT}]),
            Api::Completions => body["prompt"] = PROMPT.into(),
            Api::Responses => body["input"] = PROMPT.into(),
            Api::Messages => {
                body["messages"] = serde_json::json!([{"role": "user", "content": PROMPT}]);
                body["max_tokens"] = 100.into();
            }
        }
        body
    }
}
