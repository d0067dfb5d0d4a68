//! CloudFormation itself, in one region.

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_sdk_cloudformation::{
    Client,
    types::{Capability, Stack as Told, StackEvent, Tag},
};

use super::{config, error::cloud_error};
use crate::burst::{
    cloud::{CloudError, Order},
    network::{Blueprint, Event, Stack, Stacks, Status, Updated},
};

/// A few operations of forty parts: more than anybody asks for.
const EVENTS: usize = 500;
/// What CloudFormation says for nearly everything that it does not do.
const INVALID: &str = "ValidationError";

/// CloudFormation's stacks.
pub struct CloudFormation(Client);

impl CloudFormation {
    /// Reads where credentials are; asks nobody yet. The library may repeat: every call here is safe to.
    pub async fn connect(region: &str) -> CloudFormation {
        CloudFormation(Client::new(&config::load(region, RetryConfig::standard()).await))
    }
}

/// Whether an error says that there is no such stack.
fn is_absent(error: &CloudError) -> bool {
    error.code == INVALID && error.message.contains("does not exist")
}

/// By which CloudFormation knows a call that the library repeats: without it, a change whose answer was cut would be refused,
/// because it goes on already.
fn token() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(data_encoding::HEXLOWER.encode(&bytes))
}

fn tags(blueprint: &Blueprint) -> Vec<Tag> {
    blueprint.tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

fn stack(told: &Told) -> Stack {
    let outputs = told.outputs().iter();
    Stack {
        status: Status::of(told.stack_status().map_or("", |status| status.as_str())),
        outputs: outputs
            .filter_map(|output| Some((output.output_key()?.to_owned(), output.output_value()?.to_owned())))
            .collect(),
    }
}

fn event(told: &StackEvent) -> Event {
    let text = |told: Option<&str>| told.unwrap_or_default().to_owned();
    Event {
        id: text(told.event_id()),
        part: text(told.logical_resource_id()),
        kind: text(told.resource_type()),
        status: text(told.resource_status().map(|status| status.as_str())),
        reason: told.resource_status_reason().map(str::to_owned),
    }
}

#[async_trait]
impl Stacks for CloudFormation {
    async fn describe(&self, name: &str) -> Result<Option<Stack>, CloudError> {
        let told = self.0.describe_stacks().stack_name(name).send().await;
        match told.map_err(|error| cloud_error(Order::DescribeStacks, &error)) {
            Ok(told) => Ok(told.stacks().first().map(stack)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, blueprint: &Blueprint) -> Result<(), CloudError> {
        let call = self.0.create_stack().stack_name(&blueprint.name).template_body(&blueprint.document);
        let call = call.set_tags(Some(tags(blueprint))).capabilities(Capability::CapabilityNamedIam);
        let call = call.set_client_request_token(token());
        match call.send().await.map_err(|error| cloud_error(Order::CreateStack, &error)) {
            Err(error) if error.code == "AlreadyExistsException" => Ok(()),
            created => created.map(drop),
        }
    }

    async fn update(&self, blueprint: &Blueprint) -> Result<Updated, CloudError> {
        let call = self.0.update_stack().stack_name(&blueprint.name).template_body(&blueprint.document);
        let call = call.set_tags(Some(tags(blueprint))).capabilities(Capability::CapabilityNamedIam);
        let call = call.set_client_request_token(token());
        match call.send().await.map_err(|error| cloud_error(Order::UpdateStack, &error)) {
            Err(error)
                if error.code == INVALID && error.message.contains("No updates are to be performed") =>
            {
                Ok(Updated::NothingToDo)
            }
            begun => begun.map(|_| Updated::Begun),
        }
    }

    async fn delete(&self, name: &str) -> Result<(), CloudError> {
        let deleted = self.0.delete_stack().stack_name(name).send().await;
        match deleted.map_err(|error| cloud_error(Order::DeleteStack, &error)) {
            Err(error) if is_absent(&error) => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    async fn events(&self, name: &str) -> Result<Vec<Event>, CloudError> {
        let mut pages = self.0.describe_stack_events().stack_name(name).into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            match page.map_err(|error| cloud_error(Order::DescribeStackEvents, &error)) {
                Ok(page) => all.extend(page.stack_events().iter().map(event)),
                Err(error) if is_absent(&error) => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
            if all.len() >= EVENTS {
                break;
            }
        }
        Ok(all)
    }
}
