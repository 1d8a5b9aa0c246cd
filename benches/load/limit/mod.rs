//! The raw limit: parse a webhook, commit the rows that Douse would, answer, run the command, mark it as done. Nothing else
//! is asked: whether an alert is known, which trigger selects it, whether it may run.
//!
//! The bench starts itself with [`ARGUMENT`], an address, a database's URL and, if it is to run commands, what
//! [`super::remote::Remote::arguments`] gives.

mod postgres;
mod rows;
mod run;
mod sqlite;

use std::sync::Arc;

use actix_web::{App, HttpResponse, HttpServer, web};
use tokio::sync::{mpsc, oneshot};

use rows::Rows;
use run::Runner;

/// The first argument of the process that is the limit.
pub const ARGUMENT: &str = "limit";

/// What waits for the next commit.
pub enum Write {
    /// A delivery's rows; told when they are safe.
    Store(Box<Rows>, oneshot::Sender<()>),
    /// The command of that episode has ended.
    Done(String),
}

/// A command that has to be run, once the rows are safe.
#[derive(Clone)]
pub struct Job {
    pub episode: String,
    pub host: String,
    pub uid: String,
}

/// Writes that share a commit, at most.
const TOGETHER_MAX: usize = 1_024;

struct State {
    writer: mpsc::UnboundedSender<Write>,
    runner: Option<Runner>,
}

/// Serves until it is killed.
pub fn serve(arguments: &[String]) {
    let [address, database, remote @ ..] = arguments else { panic!("limit ADDRESS DATABASE [REMOTE…]") };
    actix_web::rt::System::new().block_on(async {
        let (writer, writes) = mpsc::unbounded_channel();
        let undone = match database.strip_prefix("sqlite://") {
            Some(path) => sqlite::start(path, writes),
            None => postgres::start(database, writes).await,
        };
        let runner = (!remote.is_empty()).then(|| Runner::new(remote, writer.clone()));
        for job in undone {
            runner.iter().for_each(|runner| runner.run(job.clone()));
        }
        let state = web::Data::from(Arc::new(State { writer, runner }));
        HttpServer::new(move || App::new().app_data(state.clone()).default_service(web::to(deliver)))
            .workers(2)
            .bind(address)
            .unwrap()
            .run()
            .await
            .unwrap();
    });
}

async fn deliver(state: web::Data<State>, body: web::Bytes) -> HttpResponse {
    let Some(rows) = Rows::read(&body) else { return HttpResponse::BadRequest().finish() };
    let jobs = state.runner.is_some().then(|| rows.jobs());
    let (sender, receiver) = oneshot::channel();
    let _ended = state.writer.send(Write::Store(Box::new(rows), sender));
    if receiver.await.is_err() {
        return HttpResponse::ServiceUnavailable().finish();
    }
    for job in jobs.into_iter().flatten() {
        state.runner.iter().for_each(|runner| runner.run(job.clone()));
    }
    HttpResponse::Ok().json(serde_json::json!({ "status": "ok" }))
}
