//! Kills a command at a random moment of its work.

use std::{process::Stdio, thread, time::Duration};

use crate::support::{app::Setup, load::Random};

/// Kills with SIGKILL, at random moments.
pub(crate) struct Killer {
    random: Random,
    /// An estimate of the command's duration.
    time: Duration,
}

impl Killer {
    pub(crate) fn new() -> Self {
        Self { random: Random::new(), time: Duration::from_millis(50) }
    }

    /// Runs a command and kills it; returns whether it succeeded before.
    pub(crate) fn kill(&mut self, setup: &Setup, arguments: &[&str]) -> bool {
        let mut command = setup.clone().arguments(arguments).command();
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().expect("it starts");
        thread::sleep(self.time.mul_f64(self.random.below(1000) as f64 / 1000.0));
        process.kill().expect("killed");
        let has_ended = process.wait().expect("ended").success();
        // On a busy machine too, about every fourth command ends before the kill.
        self.time = self.time.mul_f64(if has_ended { 0.5 } else { 1.3 });
        has_ended
    }
}
