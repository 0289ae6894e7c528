//! A stand-in for an OpenAI-compatible endpoint: answers are made up, always the same for the same request, and now and
//! then there is none.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// A request that is longer is none of this program's.
const MAX_BODY: usize = 1 << 20;

/// How often each request was made.
type Asked = Arc<Mutex<HashMap<String, u32>>>;

/// Starts it on a free port of this machine; its base URL.
pub(crate) fn start() -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    std::thread::spawn(move || {
        let asked = Asked::default();
        for stream in listener.incoming().flatten() {
            let asked = Arc::clone(&asked);
            // A client that goes away is no concern of the stand-in.
            std::thread::spawn(move || serve(&stream, &asked));
        }
    });
    Ok(url)
}

/// Answers the requests of one connection.
fn serve(stream: &TcpStream, asked: &Asked) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(body) = read_request(&mut reader)? {
        let times = {
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            let times = asked.entry(body.clone()).or_default();
            *times += 1;
            *times
        };
        let (status, answer) = answer(&body, times);
        let answer = answer.to_string();
        let wait = if status.starts_with("429") { "retry-after: 0\r\n" } else { "" };
        write!(
            &mut &*stream,
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{wait}content-length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
    }
    Ok(())
}

/// The body of the next request; none when there is no other.
fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse::<usize>().unwrap_or_default().min(MAX_BODY);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(String::from_utf8_lossy(&body).into_owned()))
}

/// The status and the body of an answer to a request that is made for the `times`th time.
fn answer(body: &str, times: u32) -> (&'static str, Value) {
    let is_writer = body.contains("You write company summaries");
    // One company is refused once, and one is never written about.
    if body.contains("Nordlys") && !is_writer && times == 1 {
        return ("429 Too Many Requests", json!({"error": {"message": "slow down"}}));
    }
    if body.contains("Tidewater") && is_writer {
        return ("500 Internal Server Error", json!({"error": {"message": "try again"}}));
    }
    // The researcher finds what stands in the text, the writer says the first two of the findings.
    let text = longest_line(body);
    let sentences: Vec<&str> = text.trim_start_matches("- ").split_inclusive(". ").collect();
    let content = if is_writer {
        sentences.iter().take(2).copied().collect::<String>().trim().to_owned()
    } else {
        format!("- {text}")
    };
    let prompt = body.len() / 4;
    let usage = json!({
        "prompt_tokens": prompt, "completion_tokens": 60, "total_tokens": prompt + 60,
        "prompt_tokens_details": {"cached_tokens": if is_writer { 0 } else { 128 }},
    });
    let message = json!({"role": "assistant", "content": content});
    let answer = json!({
        "id": format!("chatcmpl-stub-{prompt}"), "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage,
    });
    ("200 OK", answer)
}

/// The longest line of the last message: what the prompt is about.
fn longest_line(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let last = body["messages"].as_array().and_then(|messages| messages.last()).unwrap_or(&Value::Null);
    let lines = last["content"].as_str().unwrap_or_default().lines();
    lines.max_by_key(|line| line.len()).unwrap_or_default().to_owned()
}
