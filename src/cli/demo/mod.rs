//! `douse demo`: the whole story on this machine in a minute, without set-up, network or root.
//!
//! The engine is the real one, started as `douse serve` starts it, on a SQLite database of its own; webhooks and calls go
//! over HTTP; the hosts are SSH servers inside this process ([`sshd`]), a named double listed in `docs/doubles.md`.

mod proof;
pub mod sshd;
mod stage;
mod story;
mod telling;

use anstream::println;
use clap::Args;

use super::exit::{Exit, Failure};
use crate::clock::Clock;
use stage::Stage;
use telling::Telling;

/// See an alert put out, a failure rolled back, and the reasons, on this machine in a minute
#[derive(Args, Debug)]
pub struct Demo {
    /// No pauses; ends with 0 only if everything happened, checked against the database
    #[arg(long)]
    headless: bool,
    /// Tell the story this many times faster
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    speed: f64,
    /// Listen on this port of 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
}

impl Demo {
    /// Tells the story; afterwards, unless headless, leaves the engine running until Ctrl-C.
    pub async fn run(self) -> Result<Exit, Failure> {
        let wrong = |error: anyhow::Error| Failure::error(format!("the demo could not go on: {error:#}"));
        let stage = Stage::set(self.port).await.map_err(wrong)?;
        let mut tell = Telling::new((!self.headless).then_some(self.speed));
        let told = tell_story(&stage, &mut tell).await;
        let exit = match told {
            Ok(()) => summary(&tell),
            Err(error) => {
                stage.close().await.map_err(wrong)?;
                return Err(wrong(error));
            }
        };
        if !self.headless && exit == Exit::Ok {
            println!("\nThe engine goes on until Ctrl-C. In another terminal:\n");
            println!("  export DOUSE_URL={} DOUSE_TOKEN={}", stage.url, stage.token);
            println!("  douse executions list          # what ran; `show ID` for its steps");
            println!("  douse alerts list              # what came in; `explain ID` for the reasons");
            println!("  douse run restart-service --server web2 -p service=nginx --follow");
            println!("\nThen: `douse init` makes a configuration of your own; docs/ is the manual.");
            // Only an error would end the wait early, and then there is nothing to wait for.
            let _ = tokio::signal::ctrl_c().await;
        }
        stage.close().await.map_err(wrong)?;
        Ok(exit)
    }
}

async fn tell_story(stage: &Stage, tell: &mut Telling) -> anyhow::Result<()> {
    let now = || Clock::System.now().to_string();
    tell.line(format!("Douse listens on {}; two hosts, web1 and web2, answer to SSH.", stage.url)).await;
    story::fixed(stage, tell, now).await?;
    story::rolled_back(stage, tell, now).await?;
    story::held(stage, tell, now).await?;
    story::refused(stage, tell, now).await?;
    story::approved(stage, tell, now).await
}

/// What was seen, and whether the database agrees.
fn summary(tell: &Telling) -> Exit {
    let held = tell.proofs().iter().filter(|(_, holds)| *holds).count();
    println!("\nSeen: {held} of {} claims hold in the database.", tell.proofs().len());
    for (claim, _) in tell.proofs().iter().filter(|(_, holds)| !holds) {
        println!("  does not hold: {claim}");
    }
    if held == tell.proofs().len() && held > 0 { Exit::Ok } else { Exit::Error }
}
