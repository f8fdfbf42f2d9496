//! The yardsticks of `cargo xtask bench`: `yardstick bare`, `yardstick provider` and `yardstick transactions`, each on
//! a free port that it prints.
//!
//! Invariant: it uses no crate of this workspace, so that changes of the server do not affect it, and leaves actix-web
//! at the defaults, as the server does.

#![expect(clippy::print_stdout, reason = "the address is printed on standard output")]

mod bare;
mod provider;
mod transactions;

use std::{error::Error, net::SocketAddr};

use actix_web::{App, HttpServer, rt::System, web::ServiceConfig};

const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";
const GET: &str = "/api/v1/Agents/User/GetExternalTokens";

fn main() -> Result<(), Box<dyn Error>> {
    let mode = std::env::args().nth(1).unwrap_or_default();
    match mode.as_str() {
        "bare" => serve(bare::configure),
        "provider" => serve(provider::configure),
        "transactions" => serve(transactions::configure("yardstick.db")?),
        _ => Err("say `yardstick bare`, `yardstick provider` or `yardstick transactions`".into()),
    }
}

fn serve(
    configure: impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    System::new().block_on(async {
        let server = HttpServer::new(move || App::new().configure(configure.clone()));
        let server = server.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        for address in server.addrs() {
            println!("The yardstick is running on http://{address}");
        }
        Ok(server.run().await?)
    })
}
