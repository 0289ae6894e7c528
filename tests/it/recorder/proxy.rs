//! A way to a Postgres server that breaks on command.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Forwards connections to a server. Threads end with their connections.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// So many commits are still to be sent on whose answer is not.
    swallow: AtomicUsize,
    /// So many answers were swallowed.
    swallowed: AtomicUsize,
    /// So many batches are still to be broken off in their middle.
    break_off: AtomicUsize,
    /// So many batches were.
    broken_off: AtomicUsize,
}

impl Proxy {
    /// A way to `server`, an address.
    pub fn new(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let (server, shared) = (server.to_owned(), Arc::clone(&state));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(&server) else { continue };
                let (client_side, server_side) = (copy(&client), copy(&upstream));
                let state = Arc::clone(&shared);
                std::thread::spawn(move || to_server(client, upstream, &state));
                std::thread::spawn(move || forward(server_side, client_side));
            }
        });
        Self { port, state }
    }

    /// The URL with the proxy's address in place of `server`.
    pub fn url(&self, url: &str, server: &str) -> String {
        url.replace(server, &format!("127.0.0.1:{}", self.port))
    }

    /// Breaks the connection of the next batch when half of a message of it is sent on.
    pub fn break_off_a_batch(&self) {
        self.state.break_off.store(1, Ordering::SeqCst);
    }

    /// How many batches were broken off.
    pub fn broken_off(&self) -> usize {
        self.state.broken_off.load(Ordering::SeqCst)
    }

    /// Lets the next commit reach the server, and its answer nobody.
    pub fn swallow_a_commit(&self) {
        self.state.swallow.store(1, Ordering::SeqCst);
    }

    /// How many answers were swallowed.
    pub fn swallowed(&self) -> usize {
        self.state.swallowed.load(Ordering::SeqCst)
    }
}

fn to_server(mut client: TcpStream, mut server: TcpStream, state: &State) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        let is_commit = buffer[..count].windows(6).any(|word| word == b"COMMIT");
        let is_told = |left: &AtomicUsize| {
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
        };
        // Only a batch of calls is so long.
        if count > 4_000 && is_told(&state.break_off) {
            let _ = server.write_all(&buffer[..count / 2]);
            let _ = client.shutdown(Shutdown::Both);
            state.broken_off.fetch_add(1, Ordering::SeqCst);
            break;
        }
        if is_commit && is_told(&state.swallow) {
            // The client hears nothing any more; the server commits, and then finds nobody to tell.
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.write_all(&buffer[..count]);
            state.swallowed.fetch_add(1, Ordering::SeqCst);
            break;
        }
        if server.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn copy(stream: &TcpStream) -> TcpStream {
    stream.try_clone().unwrap()
}
