//! `douse blackouts`: windows in which nothing starts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::{ClientArgs, segment};
use super::exit::{Exit, Failure};
use super::output::{Column, OutputArgs, column, text, wide};
use super::time;
use crate::clock::Timestamp;

/// See and set the windows in which nothing starts
#[derive(Args, Debug)]
pub struct Blackouts {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List blackouts, those of the configuration too
    List,
    /// Add one: from now for a while, at times of the day, by cron, or from a file
    Add(Box<Add>),
    /// Remove one that was added here
    Rm { name: String },
    /// Say which are on at a moment
    Check {
        /// RFC 3339, or +2h from now
        #[arg(long, value_name = "TIME", value_parser = time::moment)]
        at: Option<Timestamp>,
    },
}

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("when").required(true).args(["window_for", "from", "daily", "cron", "file"])))]
struct Add {
    /// Its name; with -f the file's
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// From now for this long
    #[arg(long = "for", value_name = "DURATION", value_parser = time::duration)]
    window_for: Option<Duration>,
    /// From this moment
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<String>,
    /// To this moment
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Each day, as in 22:00-06:00
    #[arg(long, value_name = "HH:MM-HH:MM")]
    daily: Option<String>,
    /// With --daily: on these days of the week only
    #[arg(long, value_name = "DAY", value_delimiter = ',', requires = "daily", conflicts_with = "month_days")]
    days: Vec<String>,
    /// With --daily: on these days of the month only
    #[arg(long, value_name = "DAY", value_delimiter = ',', requires = "daily")]
    month_days: Vec<u32>,
    /// Whenever this expression says; needs --lasting
    #[arg(long, value_name = "EXPRESSION", requires = "lasting")]
    cron: Option<String>,
    /// With --cron: for this long
    #[arg(long, value_name = "DURATION")]
    lasting: Option<String>,
    /// A file with the blackout as in `douse.yml`
    #[arg(short, long)]
    file: Option<PathBuf>,
    #[arg(long)]
    timezone: Option<String>,
    /// hold, refuse or approve
    #[arg(long)]
    effect: Option<String>,
    #[arg(long)]
    description: Option<String>,
    #[arg(long = "server", value_name = "NAME")]
    servers: Vec<String>,
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    #[arg(long = "runbook", value_name = "NAME")]
    runbooks: Vec<String>,
    #[arg(long = "category", value_name = "NAME")]
    categories: Vec<String>,
}

const COLUMNS: &[Column] = &[
    column("name", |i| text(i, "name")),
    column("state", |i| text(i, "state")),
    column("until", |i| time::short(&text(i, "until"))),
    column("effect", |i| text(i, "effect")),
    column("when", |i| text(i, "when")),
    column("from", |i| text(i, "declared_in")),
    wide("servers", |i| text(i, "servers")),
    wide("runbooks", |i| text(i, "runbooks")),
    wide("by", |i| text(i, "created_by")),
    wide("id", |i| text(i, "id")),
];

impl Blackouts {
    /// Runs the subcommand.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = self.client.client()?;
        match self.command {
            Command::List => {
                let items = client.list("blackouts", &[], usize::MAX).await?;
                self.output.list(&items, "name", COLUMNS)?;
            }
            Command::Add(add) => {
                let blackout = client.post("blackouts", &add.body()?).await?;
                let told = |i: &Value| format!("{} is {}\n", text(i, "name"), text(i, "state"));
                self.output.one(&blackout, "name", told)?;
            }
            Command::Rm { name } => {
                client.delete(&format!("blackouts/{}", segment(&name))).await?;
            }
            Command::Check { at } => {
                let query: Vec<_> = at.map(|at| ("at", at.to_string())).into_iter().collect();
                let mut items = client.list("blackouts", &query, usize::MAX).await?;
                items.retain(|item| text(item, "state") == "on");
                self.output.list(&items, "name", COLUMNS)?;
                if !items.is_empty() {
                    return Ok(Exit::Blocked);
                }
            }
        }
        Ok(Exit::Ok)
    }
}

impl Add {
    fn body(self) -> Result<Value, Failure> {
        let mut body = match &self.file {
            Some(path) => {
                let text = time::read_text(path)?;
                let value: Value = serde_saphyr::from_str(&text)
                    .map_err(|error| Failure::error(format!("{}: {error}", path.display())))?;
                match value {
                    Value::Object(map) => map,
                    _ => return Err(Failure::error(format!("{}: must be a map", path.display()))),
                }
            }
            None => Map::new(),
        };
        let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
        if let Some(duration) = self.window_for {
            let now = time::from_now(Duration::ZERO);
            put("once", json!({"start": now, "end": now.plus(duration)}));
        }
        if let (Some(from), Some(to)) = (self.from, self.to) {
            put("once", json!({"start": from, "end": to}));
        }
        if let Some(daily) = self.daily {
            let (start, end) = daily.split_once('-').ok_or_else(|| {
                Failure::usage(format!("--daily: `{daily}` is not a window")).hint("write it as in 22:00-06:00")
            })?;
            match (self.days.is_empty(), self.month_days.is_empty()) {
                (false, _) => put("weekly", json!({"days": self.days, "start": start, "end": end})),
                (true, false) => put("monthly", json!({"days": self.month_days, "start": start, "end": end})),
                (true, true) => put("daily", json!({"start": start, "end": end})),
            };
        }
        if let (Some(expression), Some(lasting)) = (self.cron, self.lasting) {
            put("cron", json!({"expression": expression, "duration": lasting}));
        }
        for (key, value) in [
            ("name", self.name),
            ("timezone", self.timezone),
            ("effect", self.effect),
            ("description", self.description),
        ] {
            if let Some(value) = value {
                put(key, value.into());
            }
        }
        if !(self.servers.is_empty() && self.groups.is_empty() && self.tags.is_empty()) {
            put("servers", json!({"names": self.servers, "groups": self.groups, "tags": self.tags}));
        }
        if !(self.runbooks.is_empty() && self.categories.is_empty()) {
            put("runbooks", json!({"names": self.runbooks, "categories": self.categories}));
        }
        Ok(Value::Object(body))
    }
}
