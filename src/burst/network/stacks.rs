//! CloudFormation as hoist needs it: one stack, by its name.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::documents::DIGEST;
use crate::burst::cloud::CloudError;

/// What a stack is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blueprint {
    pub name: String,
    /// The template, as CloudFormation takes it.
    pub document: String,
    /// CloudFormation hands them on to everything in the stack that can have any.
    pub tags: BTreeMap<String, String>,
}

/// A stack, as `DescribeStacks` tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    pub status: Status,
    pub outputs: BTreeMap<String, String>,
}

impl Stack {
    /// The digest of the document that it is made from; nothing while it is being made the first time.
    pub fn digest(&self) -> Option<&str> {
        self.outputs.get(DIGEST).map(String::as_str)
    }
}

/// What CloudFormation's statuses mean to whoever wants a network. Source: "Stack status codes" in its user guide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Something goes on, begun by somebody: `CREATE_IN_PROGRESS`, for example.
    Busy(String),
    /// It was made, or changed, as its document says.
    Complete,
    /// Its making or its removal failed. It holds nothing that can be used, only what could not be removed.
    Wreck(String),
    /// A change failed, and everything is as before.
    WentBack,
    /// Only a person can help: `UPDATE_ROLLBACK_FAILED`, for example.
    Stuck(String),
    Gone,
}

impl Status {
    pub fn of(told: &str) -> Status {
        match told {
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => Status::Complete,
            "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" | "DELETE_FAILED" => {
                Status::Wreck(told.to_owned())
            }
            "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_ROLLBACK_COMPLETE" => Status::WentBack,
            "DELETE_COMPLETE" => Status::Gone,
            // A stack that somebody has only sketched; nobody works on it.
            "REVIEW_IN_PROGRESS" => Status::Stuck(told.to_owned()),
            _ if told.ends_with("_IN_PROGRESS") => Status::Busy(told.to_owned()),
            _ => Status::Stuck(told.to_owned()),
        }
    }
}

/// Something that happened to a part of a stack, or to the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: String,
    /// The part's name in the document.
    pub part: String,
    /// `AWS::CloudFormation::Stack` for the stack itself.
    pub kind: String,
    /// `CREATE_FAILED`, for example.
    pub status: String,
    pub reason: Option<String>,
}

/// What came of asking for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Updated {
    Begun,
    /// "No updates are to be performed."
    NothingToDo,
}

/// CloudFormation in one region. Repeating any call is safe: a stack's name is its own token.
#[async_trait]
pub trait Stacks: Send + Sync {
    /// `DescribeStacks`; nothing if there is no such stack.
    ///
    /// # Errors
    /// By [`CloudError::kind`].
    async fn describe(&self, name: &str) -> Result<Option<Stack>, CloudError>;

    /// `CreateStack`. That there is one by now is no error: whoever looks sees it.
    ///
    /// # Errors
    /// As above.
    async fn create(&self, blueprint: &Blueprint) -> Result<(), CloudError>;

    /// `UpdateStack`.
    ///
    /// # Errors
    /// As above; also when something goes on already.
    async fn update(&self, blueprint: &Blueprint) -> Result<Updated, CloudError>;

    /// `DeleteStack`. That there is none is no error.
    ///
    /// # Errors
    /// As above.
    async fn delete(&self, name: &str) -> Result<(), CloudError>;

    /// `DescribeStackEvents`, the newest first; nothing if there is no such stack.
    ///
    /// # Errors
    /// As above.
    async fn events(&self, name: &str) -> Result<Vec<Event>, CloudError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_sorted_by_what_is_to_be_done() {
        let busy = |told: &str| Status::Busy(told.to_owned());
        for (told, expected) in [
            ("CREATE_IN_PROGRESS", busy("CREATE_IN_PROGRESS")),
            ("ROLLBACK_IN_PROGRESS", busy("ROLLBACK_IN_PROGRESS")),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", busy("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")),
            ("DELETE_IN_PROGRESS", busy("DELETE_IN_PROGRESS")),
            ("UPDATE_COMPLETE", Status::Complete),
            ("ROLLBACK_COMPLETE", Status::Wreck("ROLLBACK_COMPLETE".into())),
            ("DELETE_FAILED", Status::Wreck("DELETE_FAILED".into())),
            ("UPDATE_ROLLBACK_COMPLETE", Status::WentBack),
            ("UPDATE_ROLLBACK_FAILED", Status::Stuck("UPDATE_ROLLBACK_FAILED".into())),
            ("REVIEW_IN_PROGRESS", Status::Stuck("REVIEW_IN_PROGRESS".into())),
            ("DELETE_COMPLETE", Status::Gone),
            ("SOMETHING_NEW", Status::Stuck("SOMETHING_NEW".into())),
        ] {
            assert_eq!(Status::of(told), expected);
        }
    }
}
