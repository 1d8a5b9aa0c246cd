//! Stack for templates that need much: minijinja reads, compiles and drops an expression by functions that call themselves, once for
//! each operator of a chain such as `a + b + c`; only brackets and blocks in one another are bounded by it.

use super::names::{self, Block};
use crate::limits::{TEMPLATE_TAG_BYTES_MAX, TEMPLATE_TAGS_INLINE_BYTES};

/// For [`TEMPLATE_TAG_BYTES_MAX`] of operators, without optimisation. Only what is used takes memory.
const STACK_BYTES: usize = 128 * 1024 * 1024;

/// Brackets and tags up to this many take little stack, were they all in one another: 18 KiB each without optimisation.
const OPENED_INLINE: usize = 24;

/// Why it cannot be read: the message, and the line from 1.
pub(super) type Flaw = (String, usize);

/// Runs what reads a template, where the stack suffices for it.
pub(super) fn for_template<T>(source: &str, act: impl FnOnce() -> T) -> Result<T, Flaw> {
    with_room(&names::blocks(source), act)
}

/// The same for an expression without anything around it.
pub(super) fn for_expression<T>(expression: &str, act: impl FnOnce() -> T) -> Result<T, Flaw> {
    with_room(&[Block::Tag(expression)], act)
}

fn with_room<T>(blocks: &[Block<'_>], act: impl FnOnce() -> T) -> Result<T, Flaw> {
    let (mut line, mut in_all, mut opened) = (1, 0, 0);
    for block in blocks {
        let text = match block {
            Block::Text(_) => "",
            Block::Print(text) | Block::Tag(text) | Block::Unclosed(text) => text,
        };
        if text.len() > TEMPLATE_TAG_BYTES_MAX {
            let length = text.len();
            let message = match block {
                // It is read to the end of the text before it is found to be wrong.
                Block::Unclosed(_) => "this `{{`, `{%` or `{#` is not closed".to_owned(),
                _ => format!(
                    "an expression of {length} bytes is too long, at most {TEMPLATE_TAG_BYTES_MAX} are allowed; write it in parts, with `{{% set … %}}`"
                ),
            };
            return Err((message, line));
        }
        in_all += text.len();
        opened += text.matches(['(', '[', '{']).count() + usize::from(!text.is_empty());
        line += block.source().matches('\n').count();
    }
    if in_all <= TEMPLATE_TAGS_INLINE_BYTES && opened <= OPENED_INLINE {
        return Ok(act());
    }
    Ok(stacker::grow(STACK_BYTES, act))
}
