//! Safe templates: Jinja2 syntax, strict names, and values that never become shell syntax.
//!
//! One pass: a value is never template source. Whatever stands in `{{ … }}` is a value, wherever it came from, also a
//! literal or the default of a filter: in a command it must be harmless ([`value::is_harmless`]) or be placed by
//! `| shq`. What stands outside of `{{ … }}` is the author's own text and is trusted. Nothing here knows what a runbook
//! is; called from [`super::plan`], [`super::ready`] and [`super::check`].

mod filters;
mod names;
mod psq;
mod room;
mod shq;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};

use crate::limits;
pub(crate) use names::undefined_path;
pub use names::{Names, names, names_of_condition};
use value::Place;

/// Where a rendered text goes, which decides what a value may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Into a POSIX shell.
    Shell,
    /// Into PowerShell.
    PowerShell,
    /// Into another interpreter: `shq` has no meaning there.
    OtherScript,
    /// Into something that is quoted as a whole: an environment variable, an argument, a folder's name.
    Plain,
}

impl Form {
    /// The form of a script for `interpreter`; without one, of the target's own shell.
    pub fn of_interpreter(interpreter: Option<&str>) -> Self {
        let program = interpreter.unwrap_or("/bin/sh").split_whitespace().next().unwrap_or_default();
        match program.rsplit('/').next().unwrap_or_default() {
            "sh" | "bash" | "dash" | "ash" | "ksh" | "mksh" | "zsh" => Self::Shell,
            "pwsh" | "powershell" | "powershell.exe" => Self::PowerShell,
            _ => Self::OtherScript,
        }
    }
}

/// The names that a template can use.
#[derive(Clone, Debug, Default)]
pub struct Context {
    names: BTreeMap<String, Value>,
    /// Values may be secret: messages do not show them.
    pub hides_values: bool,
}

impl Context {
    /// The entries of a JSON object; anything else is no names at all.
    pub fn new(names: &serde_json::Value) -> Self {
        let mut context = Self::default();
        for (name, value) in names.as_object().into_iter().flatten() {
            context.insert(name, value);
        }
        context
    }

    /// Adds or replaces a name.
    pub fn insert(&mut self, name: &str, value: &serde_json::Value) {
        self.names.insert(name.to_owned(), Value::from(Serde(value)));
    }

    fn value(&self) -> Value {
        Value::from(self.names.clone())
    }
}

/// A template that cannot be rendered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RenderError {
    /// A value could become syntax; otherwise the template is wrong or a name is missing.
    pub is_unsafe: bool,
    /// The variable, as the template calls it; empty when there is none.
    pub name: String,
    pub message: String,
    /// Line in the template, from 1.
    pub line: Option<usize>,
}

/// Renders `source`.
pub fn render(source: &str, form: Form, context: &Context) -> Result<String, RenderError> {
    if source.contains([value::OPEN, value::CLOSE]) {
        return Err(plain_error(
            String::new(),
            "the template contains a private-use character that Douse needs".into(),
        ));
    }
    let values = Arc::new(Mutex::new(Vec::new()));
    let text = run(source, form, context, &values, None)?;
    let values = std::mem::take(&mut *values.lock().unwrap_or_else(PoisonError::into_inner));
    let placed = value::split(&text, &values).and_then(|pieces| match form {
        Form::Shell => shq::place(&pieces),
        Form::PowerShell => psq::place(&pieces),
        Form::OtherScript | Form::Plain => Ok(value::join(&pieces)),
    });
    let text = placed.map_err(|misplaced| {
        // The same again, stopping at that value: minijinja then says which expression it was.
        let stop = Some((misplaced.value, misplaced.hint.clone(), misplaced.is_unsafe));
        match run(source, form, context, &Arc::default(), stop) {
            Err(error) => error,
            Ok(_) => RenderError { is_unsafe: misplaced.is_unsafe, ..plain_error(String::new(), misplaced.hint) },
        }
    })?;
    if text.len() > limits::RENDERED_BYTES_MAX {
        let message = format!("is {} bytes long when rendered; at most {}", text.len(), limits::RENDERED_BYTES_MAX);
        return Err(plain_error(String::new(), message));
    }
    match text.contains('\0') {
        true => Err(plain_error(String::new(), "contains a NUL character, which no command can take".to_owned())),
        false => Ok(text),
    }
}

/// Whether a condition holds: an expression, or the same in `{{ … }}`, or a template that renders to a word.
///
/// False are: false, 0, nothing, an empty list or map, and the texts `false`, `no`, `off`, `0`.
pub fn evaluate(condition: &str, context: &Context) -> Result<bool, RenderError> {
    let value = match names::bare_expression(condition) {
        Some(expression) => {
            let evaluated = room::for_expression(expression, || {
                let environment = environment();
                let compiled = environment.compile_expression(expression);
                compiled.and_then(|compiled| compiled.eval(context.value()))
            });
            evaluated.map_err(no_room)?.map_err(|error| explain(&error, expression, context))?
        }
        None => Value::from(render(condition, Form::Plain, context)?),
    };
    if value.is_undefined() {
        let expression = names::bare_expression(condition).unwrap_or(condition);
        return Err(undefined(expression, context, None));
    }
    Ok(match value.as_str() {
        Some(text) => !["", "false", "no", "off", "0", "none"].contains(&text.trim().to_lowercase().as_str()),
        None => value.is_true(),
    })
}

/// What is wrong with the syntax of a template, if anything: the message and the line in it.
pub fn syntax_error(source: &str) -> Option<(String, usize)> {
    let error = room::for_template(source, || environment().template_from_str(source).err());
    described(error)
}

/// The same for a condition.
pub fn condition_syntax_error(condition: &str) -> Option<(String, usize)> {
    match names::bare_expression(condition) {
        None => syntax_error(condition),
        Some(expression) => {
            let error = room::for_expression(expression, || environment().compile_expression(expression).err());
            described(error)
        }
    }
}

fn described(read: Result<Option<Error>, room::Flaw>) -> Option<(String, usize)> {
    match read {
        Ok(error) => error.map(|error| (describe(&error), error.line().unwrap_or(1))),
        Err(flaw) => Some(flaw),
    }
}

/// A `| shq` or `| psq` that cannot work: the wrong one for what reads the text, or where no value can be quoted. Gives
/// the expression and the reason.
pub fn misplaced_quoting(source: &str, form: Form) -> Option<(String, String)> {
    let (text, values, expressions) = names::outline(source);
    for ((place, filter), expression) in values.iter().zip(&expressions) {
        if *place == Place::Quoted
            && let Some(reason) = value::foreign_quoting(form, filter == "psq")
        {
            return Some((expression.clone(), format!("is quoted for nothing: {reason}")));
        }
    }
    let pieces = value::split(&text, &values).ok()?;
    let misplaced = match form {
        Form::Shell => shq::place(&pieces).err()?,
        Form::PowerShell => psq::place(&pieces).err()?,
        Form::OtherScript | Form::Plain => return None,
    };
    Some((expressions.get(misplaced.value).cloned().unwrap_or_default(), misplaced.hint))
}

/// The expressions that a template prints, with the line of each from 1.
pub fn printed(source: &str) -> Vec<(String, usize)> {
    names::printed(source)
}

type Values = Arc<Mutex<Vec<(Place, String)>>>;
/// Number of the value to stop at, what to say, and whether it is unsafe rather than wrong.
type Stop = Option<(usize, String, bool)>;

fn run(source: &str, form: Form, context: &Context, values: &Values, stop: Stop) -> Result<String, RenderError> {
    let failure: Arc<Mutex<Option<value::Failure>>> = Arc::default();
    let mut environment = environment();
    let (collected, failed) = (Arc::clone(values), Arc::clone(&failure));
    environment.set_formatter(move |out, _state, printed| {
        let mut collected = collected.lock().unwrap_or_else(PoisonError::into_inner);
        let number = collected.len();
        let placed = match &stop {
            Some((at, hint, is_unsafe)) if *at == number => {
                Err(value::Failure { is_unsafe: *is_unsafe, message: hint.clone(), detail: String::new() })
            }
            _ => value::admit(printed, form),
        };
        match placed {
            Ok((Place::Plain, text)) => {
                out.write_str(&text).map_err(|error| Error::new(ErrorKind::WriteFailure, error.to_string()))
            }
            Ok(placed) => {
                collected.push(placed);
                let written = write!(out, "{}{number}{}", value::OPEN, value::CLOSE);
                written.map_err(|error| Error::new(ErrorKind::WriteFailure, error.to_string()))
            }
            Err(failure) => {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                Err(Error::new(ErrorKind::InvalidOperation, "refused"))
            }
        }
    });
    let rendered = room::for_template(source, || environment.template_from_str(source)?.render(context.value()));
    rendered.map_err(no_room)?.map_err(|error| {
        let expression = error.range().map(|range| names::enclosing(source, range.start)).unwrap_or_default();
        match failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => explain(&error, source, context),
            Some(failure) => {
                let name = names::subject(expression);
                let detail = if context.hides_values { "" } else { failure.detail.as_str() };
                let message = format!("`{name}`: {}{detail}", failure.message);
                RenderError { is_unsafe: failure.is_unsafe, name, message, line: error.line() }
            }
        }
    })
}

fn environment<'source>() -> Environment<'source> {
    static BASE: OnceLock<Environment<'static>> = OnceLock::new();
    BASE.get_or_init(|| {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(limits::TEMPLATE_FUEL));
        environment.set_recursion_limit(50);
        // A script's last line keeps its end.
        environment.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build().unwrap_or_default());
        // Debug output prints all variables, secrets included.
        environment.set_debug(false);
        filters::add(&mut environment);
        environment
    })
    .clone()
}

fn explain(error: &Error, source: &str, context: &Context) -> RenderError {
    let expression = error.range().map(|range| names::enclosing(source, range.start));
    match error.kind() {
        ErrorKind::UndefinedError => undefined(expression.unwrap_or(source), context, error.line()),
        _ => {
            let name = expression.map(names::subject).unwrap_or_default();
            let message = match error.kind() {
                // A filter may quote what it cannot read.
                ErrorKind::InvalidOperation if context.hides_values => error.kind().to_string(),
                _ => describe(error),
            };
            RenderError { line: error.line(), ..plain_error(name, message) }
        }
    }
}

/// Which name is missing, and which there are.
fn undefined(expression: &str, context: &Context, line: Option<usize>) -> RenderError {
    let (name, message) = undefined_path(expression, &context.value());
    RenderError { line, ..plain_error(name, message) }
}

fn no_room((message, line): room::Flaw) -> RenderError {
    RenderError { line: Some(line), ..plain_error(String::new(), message) }
}

fn plain_error(name: String, message: String) -> RenderError {
    RenderError { is_unsafe: false, name, message, line: None }
}

fn describe(error: &Error) -> String {
    match error.kind() {
        ErrorKind::OutOfFuel => "the template does too much work; it may not loop so long".to_owned(),
        ErrorKind::UnknownFilter => {
            let wrong = error.detail().unwrap_or_default();
            format!("{wrong}; filters are {}", filters::NAMES.join(", "))
        }
        _ => match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        },
    }
}
