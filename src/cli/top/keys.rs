//! Keys, from a thread that waits for them.

use crate::error::{Error, Result};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

/// What was pressed, or happened to the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    End,
    Sort,
    Pause,
    Ask,
    Help,
    Redraw,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    /// The terminal has another size now: what is drawn next fits it.
    Resized,
    /// Any other.
    Other,
}

/// How many keys wait while nobody looks at them.
const WAITING: usize = 64;

/// Starts to listen. The channel ends when the terminal does. The thread is not waited for: it ends with the program.
pub(super) fn listen() -> Result<mpsc::Receiver<Key>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let thread = std::thread::Builder::new().name("keys".to_owned());
    let started = thread.spawn(move || {
        while let Ok(event) = event::read() {
            let key = match event {
                Event::Key(key) if key.kind != KeyEventKind::Release => meaning(key),
                Event::Resize(..) => Key::Resized,
                _ => continue,
            };
            if sender.blocking_send(key).is_err() {
                break;
            }
        }
    });
    started.map_err(|error| Error::io("the keyboard cannot be listened to", error))?;
    Ok(receiver)
}

fn meaning(key: KeyEvent) -> Key {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c' | 'd') => Key::End,
            KeyCode::Char('l') => Key::Redraw,
            _ => Key::Other,
        };
    }
    match key.code {
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => Key::End,
        KeyCode::Char('s') => Key::Sort,
        KeyCode::Char('p' | ' ') => Key::Pause,
        KeyCode::Char('r') => Key::Ask,
        KeyCode::Char('?' | 'h') => Key::Help,
        KeyCode::Up | KeyCode::Char('k') => Key::Up,
        KeyCode::Down | KeyCode::Char('j') => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::First,
        KeyCode::End => Key::Last,
        _ => Key::Other,
    }
}
