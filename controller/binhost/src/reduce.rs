//! Dependency strings with their USE conditionals evaluated, to the letter as Portage writes them into `Packages`
//! (`use_reduce` and `paren_enclose` of `portage.dep`; a differential test ran against it).

use std::collections::BTreeSet;

use thiserror::Error;

/// Nesting no real dependency reaches; Portage's own recursion ends far above.
const MAX_DEPTH: usize = 64;

/// Why a dependency string can't be read. Portage drops a package with one from its index.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ReduceError {
    /// `foo? bar` or `|| bar`.
    #[error("{0:?} where an opening bracket belongs")]
    NeedsBracket(String),
    /// `( )`.
    #[error("an empty group")]
    EmptyGroup,
    /// A bracket too many or too few.
    #[error("unbalanced brackets")]
    Unbalanced,
    /// A conditional on something that is no USE flag.
    #[error("{0:?} is no USE conditional")]
    BadConditional(String),
    /// Deeper than any real dependency.
    #[error("groups nested deeper than {MAX_DEPTH}")]
    TooDeep,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Word(String),
    Group(Vec<Node>),
}

impl Node {
    fn is_any_of(&self) -> bool {
        matches!(self, Self::Word(word) if word == "||")
    }
}

/// Evaluates the conditionals of `text` for the enabled flags `enabled`. With `atoms`, the USE dependencies of atoms
/// (`cat/pn[flag?]`) are evaluated, too.
pub fn use_reduce(text: &str, enabled: &BTreeSet<&str>, atoms: bool) -> Result<String, ReduceError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut stack: Vec<Vec<Node>> = vec![Vec::new()];
    let mut need_bracket = false;
    for (at, word) in words.iter().enumerate() {
        if need_bracket && *word != "(" {
            return Err(ReduceError::NeedsBracket((*word).to_owned()));
        }
        match *word {
            "(" => {
                if words.get(at + 1) == Some(&")") {
                    return Err(ReduceError::EmptyGroup);
                }
                if stack.len() > MAX_DEPTH {
                    return Err(ReduceError::TooDeep);
                }
                need_bracket = false;
                stack.push(Vec::new());
            }
            ")" => {
                let group = stack.pop().filter(|_| !stack.is_empty()).ok_or(ReduceError::Unbalanced)?;
                close(&mut stack, group, enabled, atoms)?;
            }
            "||" => {
                need_bracket = true;
                push(&mut stack, Node::Word("||".to_owned()));
            }
            conditional if conditional.ends_with('?') => {
                need_bracket = true;
                push(&mut stack, Node::Word(conditional.to_owned()));
            }
            word => {
                let word = if atoms { reduce_atom(word, enabled) } else { word.to_owned() };
                push(&mut stack, Node::Word(word));
            }
        }
    }
    if need_bracket || stack.len() != 1 {
        return Err(ReduceError::Unbalanced);
    }
    Ok(enclose(&stack.remove(0)))
}

fn push(stack: &mut [Vec<Node>], node: Node) {
    if let Some(top) = stack.last_mut() {
        top.push(node);
    }
}

/// What `)` does: the group joins the level above, with brackets only where they still mean something.
fn close(
    stack: &mut [Vec<Node>],
    mut group: Vec<Node>,
    enabled: &BTreeSet<&str>,
    atoms: bool,
) -> Result<(), ReduceError> {
    let level = stack.len() - 1;
    // before an empty any-of gets its word: Portage keeps brackets around that one
    let single = group.len() == 1 || (group.len() == 2 && group[0].is_any_of());
    let mut ignore = false;
    if let Some(Node::Word(last)) = stack[level].last() {
        if last == "||" && group.is_empty() {
            // an any-of whose every alternative fell away can't be satisfied (EAPI 7 and later)
            group.push(Node::Word("__const__/empty-any-of".to_owned()));
            stack[level].pop();
        } else if let Some(flag) = last.strip_suffix('?') {
            ignore = !is_active(flag, enabled)?;
            stack[level].pop();
        }
    }
    if group.is_empty() || ignore {
        return Ok(());
    }
    let any_of_here = stack[level].last().is_some_and(Node::is_any_of);
    let any_of_above = level > 0 && stack[level - 1].last().is_some_and(Node::is_any_of);
    if !any_of_above && !any_of_here {
        stack[level].extend(group);
    } else if stack[level].is_empty() {
        append(stack, group, single, atoms);
    } else if single && any_of_here {
        stack[level].pop();
        append(stack, group, single, atoms);
    } else if any_of_here && any_of_above {
        stack[level].pop();
        stack[level].extend(group);
    } else {
        append(stack, group, single, atoms);
    }
    Ok(())
}

/// Joins `group` to the top level, without its brackets where they are redundant.
fn append(stack: &mut [Vec<Node>], mut group: Vec<Node>, single: bool, atoms: bool) {
    let level = stack.len() - 1;
    if !single {
        stack[level].push(Node::Group(group));
        return;
    }
    let any_of_above = level > 0 && stack[level - 1].last().is_some_and(Node::is_any_of);
    if group[0].is_any_of() && any_of_above {
        match group.pop() {
            Some(Node::Group(inner)) => stack[level].extend(inner),
            Some(word) => stack[level].push(word),
            None => {}
        }
        return;
    }
    let wrapped = group.len() == 1 && matches!(group[0], Node::Group(_));
    if wrapped && !under_any_of(stack, level, atoms) {
        if let Some(Node::Group(inner)) = group.pop() {
            stack[level].extend(inner);
        }
        return;
    }
    stack[level].extend(group);
}

/// Whether an `||` is in effect for `level`: the nearest level below it that ends in a word ends in one, skipping
/// conditionals. To Portage an atom is an object and no word, so levels that end in one are skipped, too.
fn under_any_of(stack: &[Vec<Node>], level: usize, atoms: bool) -> bool {
    for below in stack[..level].iter().rev() {
        if let Some(Node::Word(last)) = below.last() {
            if last == "||" {
                return true;
            }
            if !last.ends_with('?') && !atoms {
                return false;
            }
        }
    }
    false
}

fn is_active(conditional: &str, enabled: &BTreeSet<&str>) -> Result<bool, ReduceError> {
    let (flag, wanted) = match conditional.strip_prefix('!') {
        Some(flag) => (flag, false),
        None => (conditional, true),
    };
    if !swarm_protocol::atom::is_use_flag(flag) {
        return Err(ReduceError::BadConditional(format!("{conditional}?")));
    }
    Ok(enabled.contains(flag) == wanted)
}

/// `cat/pn[a?,!b=]` for the given flags; anything that is no such atom stays as it is.
fn reduce_atom(atom: &str, enabled: &BTreeSet<&str>) -> String {
    let Some((head, flags)) = atom.strip_suffix(']').and_then(|rest| rest.split_once('[')) else {
        return atom.to_owned();
    };
    let kept: Vec<String> = flags.split(',').filter_map(|token| reduce_flag(token, enabled)).collect();
    if kept.is_empty() { head.to_owned() } else { format!("{head}[{}]", kept.join(",")) }
}

fn reduce_flag(token: &str, enabled: &BTreeSet<&str>) -> Option<String> {
    let (negated, bare) = token.strip_prefix('!').map_or((false, token), |bare| (true, bare));
    let is_on = |named: &str| enabled.contains(named.split('(').next().unwrap_or(named));
    if let Some(named) = bare.strip_suffix('?') {
        return match (negated, is_on(named)) {
            (false, true) => Some(named.to_owned()),
            (true, false) => Some(format!("-{named}")),
            (false, false) | (true, true) => None,
        };
    }
    if let Some(named) = bare.strip_suffix('=') {
        return Some(if is_on(named) == negated { format!("-{named}") } else { named.to_owned() });
    }
    Some(token.to_owned())
}

fn enclose(nodes: &[Node]) -> String {
    let mut text = String::new();
    for node in nodes {
        if !text.is_empty() {
            text.push(' ');
        }
        match node {
            Node::Word(word) => text.push_str(word),
            Node::Group(inner) => {
                text.push_str("( ");
                text.push_str(&enclose(inner));
                text.push_str(" )");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reduce(text: &str, flags: &str) -> Result<String, ReduceError> {
        use_reduce(text, &flags.split_whitespace().collect(), true)
    }

    /// Text, enabled flags and Portage 3.0.83's own answer.
    const ANSWERS: &str = include_str!("fixtures/reduce.json");

    #[test]
    fn conditionals_fall_away_as_portage_writes_them() {
        let answers: Vec<(String, String, String)> = serde_json::from_str(ANSWERS).unwrap();
        assert!(answers.len() >= 60);
        for (text, flags, expected) in answers {
            assert_eq!(reduce(&text, &flags), Ok(expected), "{text:?} with {flags:?}");
        }
    }

    #[test]
    fn malformed_dependencies_are_refused() {
        for text in ["a? b", "|| a", "( )", "( a", "a )", "a? (", "+? ( a )", "|| ( a? ( ) )"] {
            assert!(reduce(text, "").is_err(), "{text:?}");
        }
        let deep = format!("{}a{}", "( ".repeat(100), " )".repeat(100));
        assert_eq!(reduce(&deep, ""), Err(ReduceError::TooDeep));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_conditional_is_left(text in "[ab?!|( )]{0,60}") {
            if let Ok(reduced) = reduce(&text, "a") {
                let count = |wanted: &str| reduced.split(' ').filter(|word| *word == wanted).count();
                prop_assert_eq!(count("("), count(")"));
                prop_assert!(!reduced.split(' ').any(|word| word.ends_with('?')), "{}", reduced);
            }
        }
    }
}
