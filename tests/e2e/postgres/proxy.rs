//! A TCP proxy that can go silent, as a network does: connections stay open, and no data arrives.
//!
//! Invariant: data that was held back during the silence is delivered afterwards, in order.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

/// Forwards connections to one address until the process ends.
pub(crate) struct Proxy {
    address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    is_cut: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let is_cut = self.is_cut.lock().expect("nobody panics with it");
        let _open = self.changed.wait_while(is_cut, |is_cut| *is_cut).expect("nobody panics");
    }
}

impl Proxy {
    /// Starts on a free port.
    pub(crate) fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        let gate = Arc::<Gate>::default();
        let forwarding = gate.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                forwarding.pass();
                let client = client.expect("a connection");
                // If the server cannot be reached, the client is cut off as well.
                let Ok(server) = TcpStream::connect(&target) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let from = from.try_clone().expect("clone");
                    let to = to.try_clone().expect("clone");
                    let gate = forwarding.clone();
                    thread::spawn(move || forward(&gate, from, to));
                }
            }
        });
        Self { address, gate }
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Holds back all data, or lets it through again.
    pub(crate) fn cut(&self, is_cut: bool) {
        *self.gate.is_cut.lock().expect("nobody panics with it") = is_cut;
        self.gate.changed.notify_all();
    }
}

fn forward(gate: &Gate, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 8192];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        gate.pass();
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
    }
}
