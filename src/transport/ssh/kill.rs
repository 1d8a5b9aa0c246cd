//! Ending a process group on time-out or cancel, and looking whether it is gone.
//!
//! Closing a channel ends nothing on the host, and sshd keeps the session's place until the command ends. So the group
//! that the shell announced gets TERM, and KILL after a grace, from a second channel, which then looks whether a
//! process of the group is left. A group that never was announced gets sshd's own signal, and is not confirmed.

use std::time::Duration;

use russh::client::Msg;
use russh::{ChannelWriteHalf, Sig};
use tokio::time::timeout;

use super::pool::Pool;
use super::session::{Input, Session};
use crate::limits;
use crate::transport::script::announce::Groups;
use crate::transport::script::{Script, ScriptError, kill};
use crate::transport::{Ending, Job, Killed};

/// Time beside the grace: a new connection perhaps, and three seconds after KILL.
const LOOK_TIME: Duration = Duration::from_secs(20);
/// The script says one word; the rest is complaints.
const OUTPUT_BYTES_MAX: usize = 4096;

/// Ends the groups of `job`, whose own session is `write`.
pub(super) async fn kill(
    pool: &Pool,
    job: &Job,
    become_password: Option<&str>,
    groups: Groups,
    write: &ChannelWriteHalf<Msg>,
) -> Killed {
    // sshd 7.9 and later passes it to the session's group; others ignore it. It costs nothing, and it is all that can
    // be done when no second session can be had.
    let _ = timeout(limits::SSH_LINGER, write.signal(Sig::TERM)).await;
    let killed = end_groups(pool, job, become_password, groups).await;
    if killed != Killed::Confirmed {
        let _ = timeout(limits::SSH_LINGER, write.signal(Sig::KILL)).await;
    }
    killed
}

/// Ends these groups, and looks whether they are gone.
pub(super) async fn end_groups(pool: &Pool, job: &Job, become_password: Option<&str>, groups: Groups) -> Killed {
    let grace = pool.options.kill_grace;
    let user = job.become_user.as_deref();
    let is_command_gone = match groups.command {
        Some(group) => end(pool, job, kill::compose(group, grace, user, become_password)).await,
        None => false,
    };
    // With `become`, the login user's shell and sudo may be a group of their own.
    let is_login_gone = match groups.login {
        Some(group) => end(pool, job, kill::compose(group, grace, None, None)).await,
        None => true,
    };
    if is_command_gone && is_login_gone { Killed::Confirmed } else { Killed::Unconfirmed }
}

/// Runs a kill script; says whether it saw the group gone.
async fn end(pool: &Pool, job: &Job, script: Result<Script, ScriptError>) -> bool {
    let run = async {
        let opened = pool.open_at_once(&job.server).await.map_err(|refusal| refusal.message)?;
        let script = script.map_err(|error| error.to_string())?;
        let session = Session::start(opened, &job.server, &script, OUTPUT_BYTES_MAX).await;
        let mut session = session.map_err(|refusal| refusal.message)?;
        session.upload(&script, Input::Ends);
        session.drive().await;
        Ok::<_, String>(session.finish(None).await)
    };
    let name = &job.server.name;
    match timeout(pool.options.kill_grace + LOOK_TIME, run).await {
        Ok(Ok(finished)) => {
            let is_gone = finished.ending == Ending::Exited(0) && finished.stdout.text().trim() == kill::GONE;
            if !is_gone {
                let (ending, stderr) = (&finished.ending, finished.stderr.text());
                tracing::warn!(server = name, ?ending, stderr, "a process group could not be ended");
            }
            is_gone
        }
        Ok(Err(reason)) => {
            tracing::warn!(server = name, reason, "no session to end a process group");
            false
        }
        Err(_) => {
            tracing::warn!(server = name, "ending a process group took too long");
            false
        }
    }
}
