//! Every bound of Douse, named, with its reason. Nothing in Douse is unbounded.

use std::time::Duration;

use regex::RegexBuilder;

/// How a user's YAML is read. Each of its levels takes much of a thread's stack.
pub fn yaml(depth_max: usize) -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: depth_max, flow_nesting_limit: depth_max },
    }
}

/// The reader of a user's regex, within the bounds below.
pub fn regex(pattern: &str) -> RegexBuilder {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(REGEX_BYTES_MAX).nest_limit(REGEX_NESTING_MAX);
    builder
}

/// Largest webhook body, bytes. 5,000 alerts measured 4.2 MB; Alertmanager never retries a 413, so be generous.
pub const WEBHOOK_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most alerts in one webhook.
pub const WEBHOOK_ALERTS_MAX: usize = 10_000;
/// A webhook that cannot be committed in this time is answered 503, so that Alertmanager retries.
pub const WEBHOOK_COMMIT_TIMEOUT: Duration = Duration::from_millis(4_500);
/// A webhook whose body has not come by then is answered 503.
pub const WEBHOOK_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// A webhook's body up to this, bytes, is parsed where it is read; a larger one would hold up other requests.
pub const WEBHOOK_INLINE_BYTES_MAX: usize = 64 * 1024;
/// Deliveries that may wait for the database; the next one is answered 503 at once.
pub const INGEST_WAITING_MAX: usize = 4_096;
/// KiB of bodies that may wait for the database. More than [`WEBHOOK_BODY_BYTES_MAX`], or the largest never would fit.
pub const INGEST_WAITING_KIB_MAX: usize = 128 * 1024;
/// So many alerts, or more by one delivery, are stored in one transaction.
pub const INGEST_ALERTS_TOGETHER: usize = 5_000;
/// So many bytes of bodies, or more by one delivery, are stored in one transaction.
pub const INGEST_BYTES_TOGETHER: usize = 8 * 1024 * 1024;
/// Alertmanager's API answers within this, or is asked again later.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection of ours to somebody else stands by then.
pub const OUTBOUND_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Times that an Alertmanager is asked for the same alerts.
pub const FETCH_TRIES: u32 = 4;
/// Questions to Alertmanagers that may wait; more are dropped, for its next notification asks again.
pub const FETCH_QUEUE_MAX: usize = 256;
/// Labels by which a question narrows its answer; the URL has to stay short.
pub const FETCH_FILTERS_MAX: usize = 20;
/// An alert with more labels is quarantined.
pub const ALERT_LABELS_MAX: usize = 512;
/// A label name or value longer than this, bytes, quarantines its alert: a cut value could match something else.
pub const LABEL_BYTES_MAX: usize = 16 * 1024;
/// Annotations longer than this, bytes, are cut and flagged: they are shown, not matched by equality.
pub const ANNOTATION_BYTES_MAX: usize = 64 * 1024;
/// Longest fingerprint, characters: Alertmanager's has 16, Grafana's too; others may hash longer.
pub const FINGERPRINT_CHARS_MAX: usize = 64;
/// A firing that arrives this long after its episode's end is `suspect`: perhaps the resolution was false.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(5 * 60);
/// Largest compiled size of one user's regex, bytes, so that a pattern cannot eat the memory.
pub const REGEX_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting of one user's regex (groups, repetitions, alternatives), which is compiled by functions that call themselves: the
/// `regex` crate's own limit of 250 takes more than the 2 MiB of a thread's stack.
pub const REGEX_NESTING_MAX: u32 = 64;
/// Longest pattern, characters.
pub const PATTERN_CHARS_MAX: usize = 4_096;
/// Instructions that one template may use (minijinja's fuel): enough for any command, stops a loop.
pub const TEMPLATE_FUEL: u64 = 50_000;
/// Longest `{{ … }}` or `{% … %}` of a template, and longest condition, bytes: what reads them needs stack for each operator.
pub const TEMPLATE_TAG_BYTES_MAX: usize = 8 * 1024;
/// A template with more than this in its tags, bytes, or with many brackets is read on a stack of its own.
pub const TEMPLATE_TAGS_INLINE_BYTES: usize = 512;
/// Longest rendered command or value, bytes.
pub const RENDERED_BYTES_MAX: usize = 256 * 1024;
/// Longest value of an environment variable, bytes: Linux takes 128 KiB for one string of `execve`.
pub const ENVIRONMENT_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Longest text of a parameter, bytes.
pub const PARAMETER_BYTES_MAX: usize = 16 * 1024;
/// Most entries of a list parameter.
pub const PARAMETER_LIST_MAX: usize = 1_000;
/// Largest runbook file, bytes.
pub const RUNBOOK_BYTES_MAX: usize = 1024 * 1024;
/// Values in one YAML file, aliases expanded: stops a file whose aliases multiply.
pub const YAML_NODES_MAX: usize = 100_000;
/// Nesting of a YAML file; a runbook needs eight.
pub const YAML_DEPTH_MAX: usize = 64;
/// Nesting of `douse.yml` and `servers.yml`; they need six.
pub const CONFIG_DEPTH_MAX: usize = 16;
/// Deepest folder below a runbook folder that is still read.
pub const RUNBOOK_FOLDER_DEPTH_MAX: usize = 8;
/// Largest `servers.yml`, bytes.
pub const SERVERS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// TCP connect and SSH version exchange.
pub const SSH_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Key exchange and authentication.
pub const SSH_AUTH_TIMEOUT: Duration = Duration::from_secs(15);
/// A keepalive is sent this often on an idle connection.
pub const SSH_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// This many unanswered keepalives end the connection.
pub const SSH_KEEPALIVE_MAX: usize = 3;
/// Sessions per host at once: sshd's `MaxSessions` is 10, and it frees a slot only after our CLOSE arrives.
pub const SSH_SESSIONS_PER_SERVER: usize = 4;
/// A pooled connection is closed after it was idle for this long.
pub const SSH_IDLE_EXPIRY: Duration = Duration::from_secs(60);
/// Handshakes tried when sshd drops them (`MaxStartups`); nothing has been started by then.
pub const SSH_HANDSHAKE_TRIES: u32 = 5;
/// How long a command waits for one of the [`SSH_SESSIONS_PER_SERVER`] before it is put off.
pub const SSH_SLOT_TIMEOUT: Duration = Duration::from_secs(60);
/// A session that the host does not open in this time means that the connection is dead: a live one answers at once.
pub const SSH_OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// After a command's exit its output is read until it was silent for this long: a background child may hold it open.
pub const SSH_LINGER: Duration = Duration::from_secs(2);
/// After a command's exit its output is read for at most this long, silent or not.
pub const SSH_LINGER_MAX: Duration = Duration::from_secs(10);
/// A cancel that comes right after a command was sent waits for the host to name its process group, at most this long.
pub const SSH_ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(5);
/// A held command that has run for so long is asked what it has printed, which costs its host two programs; one that is
/// quicker hands it over when it ends.
pub const HELD_FIRST: Duration = Duration::from_millis(25);
/// How often the host is asked what a held command has printed.
pub const HELD_NEWS: Duration = Duration::from_secs(1);
/// How often the host is asked whether an attempt that was found there has ended.
pub const HELD_LOOK: Duration = Duration::from_millis(250);
/// First and longest wait between two tries to find a held attempt again.
pub const HELD_RETRY_MIN: Duration = Duration::from_millis(200);
/// The longest: an sshd that starts is found soon after.
pub const HELD_RETRY_MAX: Duration = Duration::from_secs(10);
/// A host that is away when its attempt is looked for after a restart gets at least this long, its step's time over or not.
pub const HELD_GRACE: Duration = Duration::from_secs(60);
/// Attempts whose files are removed from a host in one go.
pub const HELD_FORGET_BATCH: usize = 32;
/// Their files are removed after this time at the latest.
pub const HELD_FORGET_AFTER: Duration = Duration::from_secs(20);
/// Files that an engine left behind are removed after so many days.
pub const HELD_DAYS: u32 = 7;
/// A process group that got TERM gets KILL after this.
pub const KILL_GRACE: Duration = Duration::from_secs(10);
/// Output kept per step and stream, bytes: half as head, half as tail.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Time for each `true` that a test of a server runs; the caller waits for it.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Default time-out of a runbook (the seed's).
pub const RUNBOOK_TIMEOUT: Duration = Duration::from_secs(300);
/// Default time-out of a step (the seed's).
pub const STEP_TIMEOUT: Duration = Duration::from_secs(60);
/// Executions that run at once.
pub const EXECUTIONS_MAX: usize = 20;
/// Executions that may start per hour, all runbooks together.
pub const EXECUTIONS_PER_HOUR: u32 = 600;
/// A runbook that completed on a target is not run there again for this long.
pub const RECENTLY_REMEDIATED: Duration = Duration::from_secs(5 * 60);
/// How long a decision may wait for locks, rate limits or capacity alone.
pub const QUEUE_AGE_MAX: Duration = Duration::from_secs(3_600);
/// A pending approval expires after this.
pub const APPROVAL_EXPIRES_AFTER: Duration = Duration::from_secs(30 * 60);
/// Ineffective or failed runs of (trigger, target) in [`ATTEMPTS_WINDOW`] before a person is asked.
pub const ATTEMPTS_COUNT: u32 = 3;
/// Window of [`ATTEMPTS_COUNT`].
pub const ATTEMPTS_WINDOW: Duration = Duration::from_secs(3_600);
/// Distinct targets of a group that one runbook may always touch in [`BLAST_RADIUS_WINDOW`].
pub const BLAST_RADIUS_MIN: u32 = 3;
/// Share of a group, percent rounded up, that one runbook may touch in [`BLAST_RADIUS_WINDOW`].
pub const BLAST_RADIUS_PERCENT: u32 = 20;
/// Window of the blast radius.
pub const BLAST_RADIUS_WINDOW: Duration = Duration::from_secs(600);
/// Consecutive failures that open a circuit breaker.
pub const BREAKER_FAILURE_THRESHOLD: u32 = 5;
/// Consecutive successes that close a half-open one.
pub const BREAKER_SUCCESS_THRESHOLD: u32 = 3;
/// Time that a breaker stays open.
pub const BREAKER_RESET_TIMEOUT: Duration = Duration::from_secs(1_800);
/// The engine looks for due work at least this often, woken or not: polling is the truth.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Default and largest page of a list.
pub const PAGE_DEFAULT: u32 = 50;
/// Largest page of a list.
pub const PAGE_MAX: u32 = 200;
/// Pages of [`PAGE_MAX`] rows that are looked at for one page of what somebody may see.
pub const PAGES_LOOKED_AT: usize = 20;
/// Longest reason that a person may give, characters.
pub const REASON_CHARS_MAX: usize = 1_000;
/// Largest JSON body of the API other than webhooks, bytes.
pub const API_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Attempts of an `idempotent` step whose outcome was lost, before a person has to look.
pub const LOST_ATTEMPTS_MAX: u32 = 3;
/// Tries to reach a host for one undo: a short network failure should not leave a target stuck.
pub const UNDO_REACH_TRIES: u32 = 3;
/// Wait between them.
pub const UNDO_REACH_DELAY: Duration = Duration::from_secs(5);
/// Longest wait between two tries to reach a host before the first step.
pub const REACH_DELAY_MAX: Duration = Duration::from_secs(15 * 60);
/// Connections that read.
pub const DATABASE_READERS_MAX: u32 = 4;
/// Connections to PostgreSQL that write (a SQLite file has one writer). Most of the time they take turns.
pub const DATABASE_WRITERS_MAX: u32 = 6;
/// TCP connect and log-in to PostgreSQL.
pub const DATABASE_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A PostgreSQL server that acknowledges nothing for this long is given up.
pub const DATABASE_SILENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for a free connection: below [`WEBHOOK_COMMIT_TIMEOUT`], so that the sender gets its 503 in time.
pub const DATABASE_WAIT_MAX: Duration = Duration::from_secs(4);
/// PostgreSQL ends a transaction that idles for this long: a replica that stands still gives its locks back, well before
/// its lease is over.
pub const DATABASE_IDLE_TRANSACTION_MAX: Duration = Duration::from_secs(10);
/// How long the others believe that a replica lives after they heard of it last; it tells them three times as often.
pub const LEASE: Duration = Duration::from_secs(30);
/// Shortest lease: a busy database must not end a replica.
pub const LEASE_MIN: Duration = Duration::from_secs(1);
/// What replicas tell each other within this time is told as one.
pub const TELL_TOGETHER_FOR: Duration = Duration::from_millis(20);
/// A connection on which other replicas are heard is opened again after this; polling goes on meanwhile.
pub const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Replicas that ended are remembered for this long.
pub const REPLICAS_KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);
/// A due execution that another replica made is left to that one for this long: it has reached the host already.
pub const LEFT_TO_ITS_MAKER_FOR: Duration = Duration::from_secs(3);
/// The wall clock and the monotonic clock may come apart by this much before nothing runs by itself any more.
pub const CLOCK_APART_MAX: Duration = Duration::from_secs(30);
/// A clock that was set and then goes steadily for this long shows the right time.
pub const CLOCK_STEADY_AFTER: Duration = Duration::from_secs(600);
/// How long SQLite waits for another process's lock (a backup, `sqlite3` by hand).
pub const DATABASE_BUSY_TIMEOUT: Duration = Duration::from_secs(4);
/// HTTP worker threads: requests wait for the database, not for these.
pub const WEB_WORKERS: usize = 2;
/// Metrics that are counted in the database are shown as they were when it has not answered by then; Prometheus waits 10 s.
pub const METRICS_COUNT_TIMEOUT: Duration = Duration::from_secs(2);
/// A client that has not sent its headers by then is cut off.
pub const WEB_HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// A TLS handshake that has not ended by then is given up.
pub const WEB_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection on which nobody has proved who they are ends after this, whatever it does: headers, then a body that has
/// to come before its signature can be checked ([`WEBHOOK_BODY_TIMEOUT`]), then the answer.
pub const WEB_STRANGER_MAX: Duration = Duration::from_secs(60);
/// Connections of strangers at once, if the limit of open files allows for it; one more ends the oldest of them.
pub const WEB_STRANGERS_MAX: usize = 1_024;
/// A client that takes nothing of its answer for so long is cut off.
pub const WEB_STALL_MAX: Duration = Duration::from_secs(60);
/// A connection that is closed before its request was read to the end is read for this long, so that the client sees why.
pub const WEB_LINGER: Duration = Duration::from_secs(1);
/// Connections at once, if the limit of open files allows for it.
pub const WEB_CONNECTIONS_MAX: usize = 8_192;
/// KiB of bodies that strangers may have us hold at once: where only a signature over its body proves a request.
pub const WEB_STRANGERS_KIB_MAX: usize = 64 * 1024;
/// A JSON body of the API that has not come by then is answered 408.
pub const API_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// What `/-/ready` found out is told to everybody who asks within this time: asking costs a commit, and anybody may.
pub const READY_FOR: Duration = Duration::from_millis(500);
/// Longest chain of `X-Forwarded-For` that is read, addresses.
pub const FORWARDED_MAX: usize = 32;
/// Seconds that requests under way get when the server stops.
pub const WEB_SHUTDOWN_SECS: u64 = 5;
/// Sessions per host when `limits.sessions_per_server` is switched off: sshd's default `MaxSessions` less room for the
/// session that looks after a kill.
pub const SSH_SESSIONS_MAX: usize = 8;
/// Running executions get this long to end when the engine stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// A pause stops the clock of a running command for at most this long: every external wait has an end.
pub const PAUSE_WITHIN_STEP_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Due executions that one look of the dispatcher considers; the others wait for the next look.
pub const DISPATCH_BATCH: usize = 500;
/// Due executions of a runbook among which the dispatcher looks for those whose server is free.
pub const DISPATCH_LOOK: usize = 200;
/// Expired approvals that are ended in one go; the rest follows at the next look.
pub const EXPIRE_BATCH: i64 = 500;
/// Writes to SQLite that may share one commit: enough to make the fsync cheap, few enough to answer soon.
pub const DATABASE_WRITES_TOGETHER_MAX: usize = 128;
/// No further write joins a commit after this.
pub const DATABASE_WRITES_TOGETHER_FOR: Duration = Duration::from_millis(50);
/// Writes that may wait for SQLite's writer; more wait in their callers.
pub const DATABASE_WRITES_WAITING_MAX: usize = 1_024;
/// How long the answer to a request with an `Idempotency-Key` is kept: long enough for any client that retries.
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3_600);
/// How often the engine forgets what is kept for a while only.
pub const FORGET_INTERVAL: Duration = Duration::from_secs(3_600);
/// Longest `Idempotency-Key`, bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 200;
/// Executions whose secret parameters are kept in memory.
pub const SECRETS_MAX: usize = 1_000;
/// Scopes that narrow one role, user or token.
pub const SCOPES_MAX: usize = 50;
/// Patterns in one scope.
pub const SCOPE_PATTERNS_MAX: usize = 50;
/// Memory of one argon2id hash, KiB: OWASP's first choice, which costs whoever guesses as much.
pub const PASSWORD_MEMORY_KIB: u32 = 46 * 1024;
/// Passes over it.
pub const PASSWORD_PASSES: u32 = 2;
/// Passwords that are hashed at once: each takes [`PASSWORD_MEMORY_KIB`] and a core, and the engine has other work.
pub const PASSWORDS_AT_ONCE: usize = 2;
/// A log-in that has waited so long for its turn to be hashed is told to come again.
pub const PASSWORD_TURN_TIMEOUT: Duration = Duration::from_secs(10);
/// Shortest password, characters (NIST SP 800-63B asks for 8 with a second factor; there is none here).
pub const PASSWORD_CHARS_MIN: usize = 12;
/// Longest password, bytes.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Longest name of a user or token, characters.
pub const NAME_CHARS_MAX: usize = 64;
/// Log-ins of one account that may fail before the next has to wait.
pub const LOGIN_FAILURES_OF_ACCOUNT: u32 = 5;
/// The same for one address: several people may share it.
pub const LOGIN_FAILURES_OF_ADDRESS: u32 = 20;
/// The first wait; it doubles with each further failure.
pub const LOGIN_WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest wait: nobody is locked out for good.
pub const LOGIN_WAIT_MAX: Duration = Duration::from_secs(60);
/// After so long without a failure, all is forgotten.
pub const LOGIN_FAILURES_KEPT: Duration = Duration::from_secs(3_600);
/// Who logged in from an address within this time does not wait for others' failures at the account.
pub const KNOWN_ADDRESS_FOR: Duration = Duration::from_secs(30 * 24 * 3_600);
/// A session that was not used for so long is over.
pub const SESSION_IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// A session is over after this, used or not.
pub const SESSION_MAX: Duration = Duration::from_secs(12 * 3_600);
/// How finely the last use of a session or token is noted: each note is a write.
pub const USE_NOTED_EVERY: Duration = Duration::from_secs(60);
/// Ended sessions are shown nowhere, but tell which addresses are known; then they are forgotten.
pub const SESSIONS_KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Open sessions of one user; another log-in ends the oldest.
pub const SESSIONS_OF_USER_MAX: usize = 20;
/// A set-up token has to be redeemed within this.
pub const SETUP_TOKEN_FOR: Duration = Duration::from_secs(24 * 3_600);
/// An API token lives this long unless its maker says otherwise.
pub const TOKEN_FOR: Duration = Duration::from_secs(90 * 24 * 3_600);
/// No API token lives longer.
pub const TOKEN_FOR_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
/// Usable API tokens of one user.
pub const TOKENS_OF_USER_MAX: i64 = 50;
/// Servers whose secrets are wrapped anew in one transaction: others wait for it.
pub const KEYS_ROTATED_TOGETHER: usize = 500;
/// Largest secret or certificate that the database keeps, bytes: an RSA key of 16,384 bits has 13 kB.
pub const CREDENTIAL_BYTES_MAX: usize = 64 * 1024;
/// Secrets that the process remembers in order to take them out of logs and records; older ones go.
pub const SECRETS_REGISTERED_MAX: usize = 5_000;
/// Bytes of these secrets: what finds them takes up some hundred times as much memory.
pub const SECRETS_REGISTERED_BYTES_MAX: usize = 256 * 1024;
/// Failures that are put together by what they are like, the last ones.
pub const PATTERN_FAILURES_MAX: usize = 10_000;
/// Times from alarm to quiet from which ranks are taken, the last ones.
pub const REMEDIED_MAX: usize = 10_000;
/// A live stream says that it is there this often.
pub const STREAM_HEARTBEAT: Duration = Duration::from_secs(15);
/// A live stream looks for events at least this often; it is told of what this engine did.
pub const STREAM_POLL: Duration = Duration::from_secs(1);
/// A live stream ends after this, so that a right that was taken away does not last; its client comes back by itself.
pub const STREAM_LENGTH_MAX: Duration = Duration::from_secs(15 * 60);
/// Live streams that one engine serves at once.
pub const STREAMS_MAX: usize = 100;
/// Events that a live stream reads at once.
pub const STREAM_BATCH: i64 = 200;
/// A live stream that begins looks for so many numbers back that may still come: on PostgreSQL an event may become visible
/// after one with a higher number.
pub const STREAM_NUMBERS_BACK: i64 = 500;
/// Ranges of missing numbers that a live stream waits for before it goes on.
pub const STREAM_GAPS_MAX: usize = 200;
/// Records that the retention takes away in one transaction.
pub const RETENTION_BATCH: i64 = 100;
/// Audit events that it takes away in one transaction, each of which leaves one.
pub const RETENTION_AUDIT_BATCH: i64 = 1_000;
/// Transactions of one kind in one run of the retention; the rest follows with the next one.
pub const RETENTION_BATCHES_MAX: usize = 2_000;
/// Events that get their places in one go.
pub const SEAL_BATCH: i64 = 500;
/// A transaction that is longer under way may get its event's place only at the next thorough look.
pub const SEAL_LOOK_BACK: Duration = Duration::from_secs(600);
/// How often the whole log is looked through for events without a place.
pub const SEAL_LOOK_THOROUGHLY: Duration = Duration::from_secs(3_600);
/// Events before the newest in which a replica that takes the housekeeping over looks for such without a place.
pub const SEAL_EVENTS_BACK: i64 = 20_000;
/// Links that a verification reads at once.
pub const VERIFY_BATCH: i64 = 1_000;
/// How often the chain's length is told outside of the database.
pub const ANCHOR_EVERY: Duration = Duration::from_secs(5 * 60);
/// A place that takes no anchor in this time is told of in the log, and asked again with the next one.
pub const ANCHOR_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer to a posted anchor, bytes: nobody reads it.
pub const ANCHOR_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Largest file of anchors that a verification reads, bytes: two hundred years of them.
pub const ANCHORS_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How often refused requests are put into the audit log, counted.
pub const REFUSALS_EVERY: Duration = Duration::from_secs(10);
/// Different refusals that one such time tells apart; a flood must not fill the disk.
pub const REFUSALS_APART_MAX: usize = 20;
