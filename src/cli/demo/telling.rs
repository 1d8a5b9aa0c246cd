//! How the story is told: short lines, paced for a reader, plain when nobody looks.

use std::time::Duration;

use anstream::println;
use anstyle::{AnsiColor, Style};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Prints the story at a speed; knows what was proved.
pub struct Telling {
    /// Pauses are divided by this; `None` = no pauses at all.
    speed: Option<f64>,
    proofs: Vec<(String, bool)>,
}

impl Telling {
    /// `speed` 1 = for a reader, 2 = twice as fast, `None` = without pauses.
    pub fn new(speed: Option<f64>) -> Self {
        Self { speed, proofs: Vec::new() }
    }

    /// Begins a chapter.
    pub async fn chapter(&self, number: usize, title: &str) {
        println!("\n{BOLD}{number}. {title}{BOLD:#}");
        self.pause(1_200).await;
    }

    /// One line of the story.
    pub async fn line(&self, text: impl AsRef<str>) {
        println!("   {}", text.as_ref());
        self.pause(600).await;
    }

    /// Text as a program printed it.
    pub async fn quote(&self, text: &str) {
        for line in text.lines() {
            println!("   {DIM}│{DIM:#} {line}");
            self.pause(120).await;
        }
    }

    /// What the database says of a claim of the story; kept for the end.
    pub async fn prove(&mut self, claim: impl Into<String>, holds: bool) {
        let claim = claim.into();
        if holds {
            println!("   {GOOD}✔{GOOD:#} {claim}");
        } else {
            println!("   {BAD}✘ {claim}{BAD:#}");
        }
        self.proofs.push((claim, holds));
        self.pause(400).await;
    }

    /// Every claim and whether it held.
    pub fn proofs(&self) -> &[(String, bool)] {
        &self.proofs
    }

    async fn pause(&self, millis: u64) {
        if let Some(speed) = self.speed {
            tokio::time::sleep(Duration::from_millis(millis).div_f64(speed.max(0.1))).await;
        }
    }
}
