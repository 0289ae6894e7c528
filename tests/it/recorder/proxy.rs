//! A way to a Postgres server that breaks on command.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Forwards connections to a server. Threads end with their connections.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    open: Mutex<Vec<TcpStream>>,
    /// So many commits are still to be sent on whose answer is not.
    swallow: AtomicUsize,
    /// So many answers were swallowed.
    swallowed: AtomicUsize,
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
                shared.open.lock().unwrap().extend([copy(&client), copy(&upstream)]);
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

    /// Breaks every connection, in the middle of whatever it is at.
    pub fn reset(&self) {
        for stream in self.state.open.lock().unwrap().drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
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
        let takes = |left: usize| left.checked_sub(1);
        if is_commit && state.swallow.fetch_update(Ordering::SeqCst, Ordering::SeqCst, takes).is_ok() {
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
