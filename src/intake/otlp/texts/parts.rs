//! Messages of instrumentations as those of a chat request.

use serde_json::{Map, Value, json};

/// Whether a value is a message.
pub(super) fn is_message(told: &Value) -> bool {
    told.get("role").is_some_and(Value::is_string) || told.get("parts").is_some_and(Value::is_array)
}

/// A message with a role; none of what says nothing. What names no role is said by `role`.
pub(super) fn as_chat(told: Value, role: &str) -> Option<Value> {
    let mut message = match told {
        Value::Null => return None,
        Value::String(text) if text.is_empty() => return None,
        Value::Object(fields) if fields.is_empty() => return None,
        Value::Object(fields) => fields,
        other => return Some(json!({"role": role, "content": other})),
    };
    if let Some(Value::Array(parts)) = message.remove("parts") {
        return Some(of_parts(message, parts, role));
    }
    if message.get("role").is_some_and(Value::is_string) {
        return Some(Value::Object(message));
    }
    // A part on its own, as system instructions are lists of; a completion; what an SDK was called with.
    for key in ["content", "text", "prompt"] {
        if let Some(content) = message.get(key).filter(|content| content.is_string()) {
            return Some(json!({"role": role, "content": content}));
        }
    }
    if message.contains_key("content") || message.contains_key("tool_calls") {
        message.insert("role".to_owned(), role.into());
        return Some(Value::Object(message));
    }
    Some(json!({"role": role, "content": Value::Object(message)}))
}

/// `OpenTelemetry`'s messages have parts: texts, tools that are called, and what they answered.
fn of_parts(mut message: Map<String, Value>, parts: Vec<Value>, role: &str) -> Value {
    let said = |key: &str, part: &Value| part.get(key).cloned().unwrap_or(Value::Null);
    let mut role = message.remove("role").filter(Value::is_string).unwrap_or_else(|| role.into());
    message.remove("finish_reason");
    message.retain(|_, said| !said.is_null());
    let (mut content, mut calls) = (Vec::new(), Vec::new());
    for part in parts {
        match part.get("type").and_then(Value::as_str) {
            Some("text") => content.push(json!({"type": "text", "text": said("content", &part)})),
            Some("tool_call") => calls.push(json!({
                "id": said("id", &part),
                "type": "function",
                "function": {"name": said("name", &part), "arguments": as_text(said("arguments", &part))},
            })),
            Some("tool_call_response") => {
                role = "tool".into();
                message.insert("tool_call_id".to_owned(), said("id", &part));
                let answer = ["response", "result"].iter().find_map(|key| part.get(key)).cloned();
                let answer = as_text(answer.unwrap_or(Value::Null));
                content.push(json!({"type": "text", "text": answer}));
            }
            _ => content.push(part),
        }
    }
    let content = match content.as_mut_slice() {
        [] => Value::Null,
        [Value::Object(only)] if only.get("type").is_some_and(|kind| kind == "text") => {
            only.remove("text").unwrap_or(Value::Null)
        }
        _ => Value::Array(content),
    };
    message.insert("role".to_owned(), role);
    message.insert("content".to_owned(), content);
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    Value::Object(message)
}

/// Arguments and answers of tools are texts in a chat request; some write what is in them.
fn as_text(value: Value) -> Value {
    match value {
        Value::Null | Value::String(_) => value,
        other => other.to_string().into(),
    }
}

/// A tool that is called, as the Vercel AI SDK writes it.
pub(super) fn vercel_call(call: &Value) -> Value {
    let said = |keys: [&str; 2]| keys.iter().find_map(|key| call.get(key)).cloned().unwrap_or(Value::Null);
    json!({
        "id": call.get("toolCallId").cloned().unwrap_or(Value::Null),
        "type": "function",
        "function": {
            "name": call.get("toolName").cloned().unwrap_or(Value::Null),
            "arguments": as_text(said(["input", "args"])),
        },
    })
}

/// A message that was put together from its pieces: `OpenInference` wraps every item of a list into its own name, and lists are
/// objects by number.
pub(super) fn without_wrappers(message: Value) -> Value {
    let Value::Object(mut fields) = message else { return message };
    for wrapper in ["message", "prompt", "completion"] {
        if fields.len() == 1
            && let Some(Value::Object(inner)) = fields.get_mut(wrapper)
        {
            fields = std::mem::take(inner);
            break;
        }
    }
    if let Some(contents) = fields.remove("contents") {
        fields.insert("content".to_owned(), Value::Array(items(contents, "message_content")));
    }
    if let Some(calls) = fields.remove("tool_calls") {
        let calls = items(calls, "tool_call").into_iter().map(|mut call| {
            if let Value::Object(call) = &mut call {
                let of_function = ["name", "arguments"].map(|key| (key, call.remove(key)));
                for (key, value) in of_function {
                    // Traceloop's have them beside the id.
                    if let Some(value) = value {
                        call.entry("function").or_insert_with(|| json!({}))[key] = value;
                    }
                }
                call.entry("type").or_insert_with(|| "function".into());
            }
            call
        });
        fields.insert("tool_calls".to_owned(), calls.collect());
    }
    Value::Object(fields)
}

/// The items of a list that is an object by number, each without the name it is wrapped in.
fn items(list: Value, wrapper: &str) -> Vec<Value> {
    let Value::Object(by_number) = list else { return vec![list] };
    let mut numbered: Vec<(u32, Value)> =
        by_number.into_iter().filter_map(|(number, item)| Some((number.parse().ok()?, item))).collect();
    numbered.sort_unstable_by_key(|(number, _)| *number);
    let unwrapped = |item: Value| match item {
        Value::Object(mut item) if item.len() == 1 && item.contains_key(wrapper) => {
            item.remove(wrapper).unwrap_or(Value::Null)
        }
        other => other,
    };
    numbered.into_iter().map(|(_, item)| unwrapped(item)).collect()
}
