//! The file of a scenario: YAML, of which a comment on top and one list of plain strings are used.

/// A scenario as it is written.
#[derive(Debug, PartialEq, Eq)]
pub struct Script {
    /// What must come of it.
    pub about: String,
    /// What is done, in order.
    pub steps: Vec<String>,
}

impl Script {
    /// Reads one.
    ///
    /// # Errors
    /// The line that is neither a comment nor a step.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut about, mut steps) = (Vec::new(), Vec::new());
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            match (line.strip_prefix("# "), line.strip_prefix("- ")) {
                (Some(comment), _) => about.push(comment.trim()),
                (_, Some(step)) => steps.push(step.trim().to_owned()),
                _ => return Err(format!("line {number}: wanted: `# …` or `- <step>`")),
            }
        }
        if about.is_empty() || steps.is_empty() {
            return Err("wanted: a comment that says what must come of it, and steps".to_owned());
        }
        Ok(Self { about: about.join(" "), steps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_comment_and_a_list() {
        let script = Script::parse("# It\n# works.\n\n- run\n- verify\n").unwrap();
        assert_eq!(script.about, "It works.");
        assert_eq!(script.steps, ["run", "verify"]);
        assert_eq!(Script::parse("# It\n- run\nverify").unwrap_err(), "line 3: wanted: `# …` or `- <step>`");
        assert!(Script::parse("- run").is_err());
    }
}
