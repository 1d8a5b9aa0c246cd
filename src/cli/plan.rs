//! `douse plan`: what a runbook would run for an alert, rendered from files. No engine is asked and nothing is changed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::output::{OutputArgs, note};
use super::time;
use crate::alert::wire::{self, Entry};
use crate::alert::{Alert, AlertStatus};
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::policy::read::runbook_paths;
use crate::inventory::{self, Auth, Inventory, Protocol, Server, Unresolved, allowed};
use crate::problem::Severity;
use crate::runbook::check::{self, render};
use crate::runbook::model::Runbook;
use crate::runbook::parameters::{self, ParameterSources};
use crate::runbook::plan::{self, Plan, PlanError, PlanInput, PlannedAction, Text};

/// Render a runbook for an alert: commands and undos, nothing changed
#[derive(Args, Debug)]
pub struct PlanCommand {
    /// A runbook's file, or its name in the configuration's folders
    runbook: String,
    /// The server; default: the one that the alert names
    #[arg(long)]
    server: Option<String>,
    /// File with an alert: labels and annotations, or a webhook's body; `-` reads standard input
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// A label of an imagined alert; may be given several times
    #[arg(short, long = "label", value_name = "NAME=VALUE", value_parser = time::key_value, conflicts_with = "file")]
    labels: Vec<(String, String)>,
    /// A value of a parameter; may be given several times
    #[arg(short, long = "parameter", value_name = "NAME=VALUE", value_parser = time::key_value)]
    parameters: Vec<(String, String)>,
    /// Where servers and runbooks are found
    #[arg(long = "config.file", value_name = "FILE", default_value = "douse.yml")]
    config_file: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

impl PlanCommand {
    /// 0 when it renders, 13 when the run would be refused.
    pub fn run(self) -> Result<Exit, Failure> {
        let config = self.config()?;
        let runbook = self.runbook(config.as_ref())?;
        let (alert, group) = self.alert()?;
        let inventory = config.as_ref().map(read_inventory).transpose()?;
        let given: BTreeMap<String, Value> =
            self.parameters.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
        let is_server = |name: &str| inventory.as_ref().is_none_or(|inventory| inventory.resolve(name).is_ok());
        let sources = ParameterSources { alert: alert.as_ref(), given: &given, is_server: &is_server };
        let parameters = match parameters::resolve(&runbook, &sources) {
            Ok(parameters) => parameters,
            Err(error) => return Ok(refused(&error)),
        };
        let server = match self.target(&runbook, alert.as_ref(), &parameters, inventory.as_ref())? {
            Ok(server) => server,
            Err(error) => return Ok(refused(&error)),
        };
        if inventory.is_some()
            && let Err(error) = allowed::check(&server, runbook.target_os, &runbook.allowed_servers, &runbook.target)
        {
            note(&format!("refused: target_not_allowed: {error}"));
            return Ok(Exit::Blocked);
        }
        let trigger = alert.as_ref().and_then(|alert| selecting(&runbook, alert, config.as_ref()));
        let version = runbook.version.and_then(|version| i32::try_from(version).ok()).unwrap_or(1);
        let input = PlanInput {
            runbook_version: version,
            alert: alert.as_ref(),
            group: group.as_ref(),
            server: &server,
            parameters: &parameters,
            trigger: trigger.as_deref(),
        };
        let plan = match plan::plan(&runbook, &input) {
            Ok(plan) => plan,
            Err(error) => return Ok(refused(&error)),
        };
        let hash = plan::plan_hash(&plan).map_err(|error| Failure::error(error.to_string()))?;
        let mut item = json!(plan);
        if let Some(map) = item.as_object_mut() {
            map.insert("plan_hash".to_owned(), hash.clone().into());
        }
        self.output.one(&item, "plan_hash", |_| people(&runbook, &plan, &hash))?;
        if alert.is_some() && trigger.is_none() && !runbook.triggers.is_empty() {
            note("no trigger of this runbook matches the alert; a person could still run it");
        }
        Ok(Exit::Ok)
    }

    /// The configuration, if there is one; a missing default is no error when a file is named.
    fn config(&self) -> Result<Option<Config>, Failure> {
        let is_named_file = Path::new(&self.runbook).is_file();
        if !self.config_file.exists() && is_named_file && self.config_file.as_os_str() == "douse.yml" {
            return Ok(None);
        }
        let config = Config::check(&self.config_file, &Config::environment());
        config.map(Some).map_err(|problems| failed(&problems, "the configuration cannot be read"))
    }

    fn runbook(&self, config: Option<&Config>) -> Result<Arc<Runbook>, Failure> {
        let path = Path::new(&self.runbook);
        if path.is_file() {
            return read_runbook(path);
        }
        let mut names = Vec::new();
        for folder in config.map(|config| config.runbook_dirs.as_slice()).unwrap_or_default() {
            for path in runbook_paths(folder, &mut Vec::new()) {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let checked = check::read(&path.display().to_string(), &text);
                match checked.runbook {
                    Some(runbook) if runbook.name == self.runbook => return Ok(Arc::new(runbook)),
                    Some(runbook) => names.push(runbook.name),
                    None if path.file_stem().is_some_and(|stem| stem == self.runbook.as_str()) => {
                        return read_runbook(&path);
                    }
                    None => {}
                }
            }
        }
        let message = format!("there is no runbook `{}`", self.runbook);
        let known = if names.is_empty() { "none was found".to_owned() } else { names.join(", ") };
        Err(Failure::new(Exit::NotFound, message)
            .hint(format!("name a file, or one of the configuration's runbooks: {known}")))
    }

    fn alert(&self) -> Result<(Option<Alert>, Option<Value>), Failure> {
        let body = match &self.file {
            Some(path) => {
                let text = time::read_text(path)?;
                let name = path.display();
                serde_json::from_str(&text).map_err(|error| Failure::error(format!("{name}: not JSON: {error}")))?
            }
            None if self.labels.is_empty() => return Ok((None, None)),
            None => json!({ "labels": self.labels.iter().cloned().collect::<BTreeMap<_, _>>() }),
        };
        let delivery =
            wire::parse(as_webhook(body).to_string().as_bytes()).map_err(|error| Failure::error(error.to_string()))?;
        let group = Some(delivery.group());
        match delivery.entries.into_iter().next() {
            Some(Entry::Alert { alert, .. }) => Ok((Some(*alert), group)),
            Some(Entry::Quarantined { reason, .. }) => {
                Err(Failure::error(format!("the alert cannot be understood: {reason}")))
            }
            None => Err(Failure::error("the body holds no alert")),
        }
    }

    fn target(
        &self,
        runbook: &Runbook,
        alert: Option<&Alert>,
        parameters: &BTreeMap<String, Value>,
        inventory: Option<&Inventory>,
    ) -> Result<Result<Arc<Server>, PlanError>, Failure> {
        let wanted = match &self.server {
            Some(server) => server.clone(),
            None => match plan::target(runbook, alert, parameters) {
                Ok(target) => target,
                Err(error) if alert.is_none() => {
                    return Err(Failure::usage(error.to_string())
                        .hint("name the server with --server, or an alert with -l or -f"));
                }
                Err(error) => return Ok(Err(error)),
            },
        };
        let Some(inventory) = inventory else {
            note(&format!("there is no {}: the server `{wanted}` is imagined", self.config_file.display()));
            return Ok(Ok(Arc::new(imagined(&wanted, runbook))));
        };
        inventory.resolve(&wanted).map(Ok).map_err(|error| {
            let code = match error {
                Unresolved::Unknown { .. } => Exit::NotFound,
                Unresolved::Ambiguous { .. } => Exit::Blocked,
            };
            Failure::new(code, error.to_string())
        })
    }
}

fn read_runbook(path: &Path) -> Result<Arc<Runbook>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::error(format!("{}: {error}", path.display())))?;
    let checked = check::read(&path.display().to_string(), &text);
    let errors: Vec<_> = checked.problems.into_iter().filter(|problem| problem.severity == Severity::Error).collect();
    checked.runbook.map(Arc::new).ok_or_else(|| failed(&errors, "the runbook cannot be used"))
}

fn read_inventory(config: &Config) -> Result<Inventory, Failure> {
    let mut servers = Vec::new();
    for path in &config.server_files {
        let text = time::read_text(path)?;
        let base = path.parent().unwrap_or(Path::new(""));
        let read = inventory::file::parse(&path.display().to_string(), base, &text);
        servers.extend(read.map_err(|problems| failed(&problems, "the servers cannot be read"))?);
    }
    Inventory::new(servers).map_err(|error| Failure::error(error.to_string()))
}

fn failed(problems: &[crate::problem::Problem], what: &str) -> Failure {
    note(render::render(render::Format::Human, problems, &|_, _| None).trim_end());
    Failure::error(what.to_owned())
}

fn refused(error: &PlanError) -> Exit {
    note(&super::output::visible(&format!("refused: {}: {error}", error.reason)));
    Exit::Blocked
}

/// A webhook's body, an alert of one, or bare labels, as a webhook's body.
fn as_webhook(value: Value) -> Value {
    if value.get("alerts").is_some() {
        return value;
    }
    let mut alert = json!({ "status": "firing", "labels": {}, "annotations": {}, "startsAt": Clock::System.now() });
    if let (Some(alert), Value::Object(given)) = (alert.as_object_mut(), value) {
        alert.extend(given);
    }
    json!({
        "version": "4", "receiver": "", "status": "firing", "groupKey": "", "groupLabels": {}, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "", "alerts": [alert],
    })
}

/// The first trigger of the runbook that matches, at the alert's own time.
fn selecting(runbook: &Runbook, alert: &Alert, config: Option<&Config>) -> Option<String> {
    let timezone = config.map_or(chrono_tz::UTC, |config| config.global.timezone);
    let mut alert = alert.clone();
    alert.status = AlertStatus::Firing;
    let source = config.and_then(|config| config.sources.first()).map_or("main", |source| source.name.as_str());
    let matching = runbook.triggers.iter().find(|trigger| trigger.matches(source, &alert, alert.starts_at, timezone));
    matching.map(|trigger| trigger.name().to_owned())
}

fn imagined(name: &str, runbook: &Runbook) -> Server {
    Server {
        name: name.to_owned(),
        hostname: name.to_owned(),
        port: inventory::server::PORT_DEFAULT,
        username: inventory::server::USERNAME_DEFAULT.to_owned(),
        os_type: runbook.target_os,
        auth: Auth::Agent,
        host_keys: Vec::new(),
        tags: Vec::new(),
        group: None,
        environment: None,
        is_paused: false,
        protocol: Protocol::Ssh,
        become_password: None,
        bastion: None,
        via: None,
    }
}

fn people(runbook: &Runbook, plan: &Plan, hash: &str) -> String {
    let mut text = String::new();
    let approval = if runbook.requires_approval { ", needs approval" } else { "" };
    let _ = writeln!(
        text,
        "{} on {} ({}{approval}), at most {} s",
        plan.runbook, plan.server, plan.mode, plan.timeout_secs
    );
    let _ = writeln!(text, "plan {hash}");
    for (name, value) in &plan.environment {
        let _ = writeln!(text, "  {name}={}", value_of(value));
    }
    for (number, step) in plan.steps.iter().enumerate() {
        let user = step.become_user.as_deref().map(|user| format!(", as {user}")).unwrap_or_default();
        let tries = if step.retry.attempts > 1 { format!(", {} tries", step.retry.attempts) } else { String::new() };
        let _ = writeln!(text, "\n{}. {} (at most {} s{tries}{user})", number + 1, step.name, step.timeout_secs);
        if let Some(when) = &step.when {
            let _ = writeln!(text, "   when  {when}");
        }
        block(&mut text, "run ", &step.action);
        if let Some(undo) = &step.undo {
            block(&mut text, "undo", &undo.action);
        }
    }
    text
}

fn block(text: &mut String, label: &str, action: &PlannedAction) {
    let shown = match action {
        PlannedAction::Command(command) => value_of(command),
        PlannedAction::Argv(words) => json!(words.iter().map(value_of).collect::<Vec<String>>()).to_string(),
        PlannedAction::Script { text, interpreter } => {
            format!("{} <<\n{}", interpreter.as_deref().unwrap_or("/bin/sh"), value_of(text))
        }
    };
    for (number, line) in shown.trim_end().lines().enumerate() {
        let _ = writeln!(text, "   {}  {line}", if number == 0 { label } else { "    " });
    }
}

/// What is known, or the template that waits for an earlier step.
fn value_of(text: &Text) -> String {
    match text {
        Text::Known(text) => text.clone(),
        Text::Hole(template) => format!("{template}   (rendered right before it runs)"),
    }
}
