//! Tells a model of its tools whose chat template does not: in the system's turn, in few words, and with the marks that most
//! open models were trained on. Calls and results of earlier turns are written as text in the same way.

use backends::{Message, Part, Tool};

/// The conversation as text alone, with the tools described in its first turn.
pub(crate) fn conversation(messages: &[Message], tools: &[Tool]) -> Vec<Message> {
    let mut turns: Vec<Message> = Vec::with_capacity(messages.len() + 1);
    let mut messages = messages.iter().peekable();
    let told = description(tools);
    if !told.is_empty() {
        let first = messages.next_if(|message| matches!(&*message.role, "system" | "developer"));
        let mut turn = first.cloned().unwrap_or_else(|| Message { role: "system".to_owned(), ..Message::default() });
        let before = if turn.content.is_empty() { "" } else { "\n\n" };
        turn.content.push(Part::Text(format!("{before}{told}")));
        turns.push(turn);
    }
    // Whether the last turn holds results: templates want turns to alternate, so it takes those that follow.
    let mut results = false;
    for message in messages {
        let after_results = std::mem::replace(&mut results, matches!(&*message.role, "tool" | "function"));
        match &*message.role {
            "tool" | "function" => {
                let text = |text: &str| Part::Text(text.to_owned());
                let said = message.content.iter().cloned();
                let content = |begin| [text(begin)].into_iter().chain(said).chain([text("\n</tool_response>")]);
                match turns.last_mut().filter(|_| after_results) {
                    Some(last) => last.content.extend(content("\n<tool_response>\n")),
                    None => turns.push(Message {
                        role: "user".to_owned(),
                        content: content("<tool_response>\n").collect(),
                        ..Message::default()
                    }),
                }
            }
            _ if message.tool_calls.is_empty() => turns.push(message.clone()),
            _ => {
                let mut turn = Message { tool_calls: Vec::new(), ..message.clone() };
                for call in &message.tool_calls {
                    let before = if turn.content.is_empty() { "" } else { "\n" };
                    let name = serde_json::Value::from(&*call.name);
                    let arguments = &call.arguments;
                    let text =
                        format!("{before}<tool_call>\n{{\"name\": {name}, \"arguments\": {arguments}}}\n</tool_call>");
                    turn.content.push(Part::Text(text));
                }
                turns.push(turn);
            }
        }
    }
    turns
}

fn description(tools: &[Tool]) -> String {
    let line = |tool: &Tool| match tool {
        Tool::Function { name, description, parameters } => {
            let name = serde_json::Value::from(&**name);
            let description =
                description.as_deref().map(|text| format!(", \"description\": {}", serde_json::Value::from(text)));
            let parameters = parameters.as_deref().unwrap_or(r#"{"type": "object", "properties": {}}"#);
            let description = description.unwrap_or_default();
            Some(format!("{{\"name\": {name}{description}, \"parameters\": {parameters}}}"))
        }
        Tool::Other(_) => None,
    };
    let lines: Vec<String> = tools.iter().filter_map(line).collect();
    if lines.is_empty() {
        return String::new();
    }
    format!(
        "# Tools\n\nYou may call these functions:\n<tools>\n{}\n</tools>\n\nTo call one, answer with\n<tool_call>\n\
         {{\"name\": <function>, \"arguments\": <object>}}\n</tool_call>",
        lines.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use backends::ToolUse;

    use super::*;

    fn turn(role: &str, text: &str) -> Message {
        let content = if text.is_empty() { vec![] } else { vec![Part::Text(text.into())] };
        Message { role: role.into(), content, ..Message::default() }
    }

    #[test]
    fn tools_calls_and_results_become_text_of_the_turns_that_every_template_knows() {
        let tool =
            Tool::Function { name: "add".into(), description: Some("Adds.".into()), parameters: Some("{}".into()) };
        let call = |id: &str| ToolUse { id: id.into(), name: "add".into(), arguments: r#"{"a":1}"#.into() };
        let conversation = conversation(
            &[
                turn("user", "hi"),
                Message { tool_calls: vec![call("1"), call("2")], ..turn("assistant", "") },
                Message { tool_call_id: Some("1".into()), ..turn("tool", "2") },
                Message { tool_call_id: Some("2".into()), ..turn("tool", "3") },
            ],
            &[tool],
        );
        let said: Vec<(&str, String)> = conversation.iter().map(|turn| (&*turn.role, turn.text())).collect();
        assert_eq!(said[0].0, "system");
        let line = r#"{"name": "add", "description": "Adds.", "parameters": {}}"#;
        assert!(said[0].1.contains(line), "{}", said[0].1);
        let call = "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\":1}}\n</tool_call>";
        assert_eq!(
            said[1..],
            [
                ("user", "hi".to_owned()),
                ("assistant", format!("{call}\n{call}")),
                ("user", "<tool_response>\n2\n</tool_response>\n<tool_response>\n3\n</tool_response>".to_owned()),
            ]
        );
        assert!(conversation.iter().all(|turn| turn.tool_calls.is_empty()));
    }

    #[test]
    fn the_systems_own_words_stay_first_and_without_tools_nothing_is_added() {
        let tool = Tool::Function { name: "f".into(), description: None, parameters: None };
        let told = conversation(&[turn("developer", "Be short."), turn("user", "hi")], &[tool]);
        assert!(told[0].text().starts_with("Be short.\n\n# Tools") && told.len() == 2);
        assert_eq!(conversation(&[turn("user", "hi")], &[])[0].text(), "hi");
    }
}
