//! `douse healthcheck`: asks `/-/ready`, for a container's health check.

use clap::Args;
use reqwest::Method;

use super::client::ClientArgs;
use super::exit::{Exit, Failure};

/// Ask a running engine whether it is ready
#[derive(Args, Debug)]
pub struct Healthcheck {
    #[command(flatten)]
    client: ClientArgs,
}

impl Healthcheck {
    /// 0 when ready, 1 when not, 6 when there is no answer.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = self.client.client()?;
        let answer = client.send(Method::GET, "/-/ready", &[], None, &[]).await?;
        if answer.status.is_success() {
            return Ok(Exit::Ok);
        }
        client.accept(answer).map(|_| Exit::Ok)
    }
}
