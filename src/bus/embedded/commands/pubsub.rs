//! Commands about channels and subscriptions.

use bytes::Bytes;

use super::super::command_error::CommandError;
use super::super::reply::{CommandResult, Reply};
use super::super::subscribers::SubscriptionKind;
use super::context::{Allowed, Command, Context};
use super::options::container;

pub(super) const COMMANDS: &[Command] = &[
    Command::new("psubscribe", -2, psubscribe).allowed(Allowed::OutsideMultiOnly),
    Command::new("publish", 3, publish),
    Command::new("pubsub", -2, container),
    Command::new("pubsub|numpat", 2, pubsub_numpat),
    Command::new("pubsub|numsub", -2, pubsub_numsub),
    Command::new("punsubscribe", -1, punsubscribe).allowed(Allowed::OutsideMultiOnly),
    Command::new("subscribe", -2, subscribe).allowed(Allowed::OutsideMultiOnly),
    Command::new("unsubscribe", -1, unsubscribe).allowed(Allowed::OutsideMultiOnly),
];

fn publish(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let [channel, payload] = args else { return Err(CommandError::Syntax) };
    Ok(Reply::count(context.store.subscribers.publish(channel, payload)))
}

fn subscribe(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    Ok(subscribe_each(context, args, SubscriptionKind::Channel, "subscribe"))
}

fn psubscribe(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    Ok(subscribe_each(context, args, SubscriptionKind::Pattern, "psubscribe"))
}

fn unsubscribe(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    Ok(unsubscribe_each(context, args, SubscriptionKind::Channel, "unsubscribe"))
}

fn punsubscribe(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    Ok(unsubscribe_each(context, args, SubscriptionKind::Pattern, "punsubscribe"))
}

fn subscribe_each(context: &mut Context<'_>, names: &[Bytes], kind: SubscriptionKind, command: &'static str) -> Reply {
    let each = |name: &Bytes| {
        context.store.subscribers.subscribe(context.session.id, kind, name);
        confirmation(context, command, Reply::Bulk(name.clone()))
    };
    Reply::Sequence(names.iter().map(each).collect())
}

/// Unsubscribes from the names, or from all of this kind if there are none.
fn unsubscribe_each(
    context: &mut Context<'_>,
    names: &[Bytes],
    kind: SubscriptionKind,
    command: &'static str,
) -> Reply {
    let all = context.store.subscribers.names(context.session.id, kind);
    let names = if names.is_empty() { &all[..] } else { names };
    if names.is_empty() {
        return confirmation(context, command, Reply::Null);
    }
    let each = |name: &Bytes| {
        context.store.subscribers.unsubscribe(context.session.id, kind, name);
        confirmation(context, command, Reply::Bulk(name.clone()))
    };
    Reply::Sequence(names.iter().map(each).collect())
}

fn confirmation(context: &Context<'_>, command: &'static str, name: Reply) -> Reply {
    let left = context.store.subscribers.subscriptions(context.session.id);
    Reply::Push(vec![Reply::text(command), name, Reply::count(left)])
}

fn pubsub_numsub(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let subscribers = &context.store.subscribers;
    let each = |channel: &Bytes| [Reply::Bulk(channel.clone()), Reply::count(subscribers.subscriber_count(channel))];
    Ok(Reply::Array(args.iter().flat_map(each).map(Ok).collect()))
}

fn pubsub_numpat(context: &mut Context<'_>, _: &[Bytes]) -> CommandResult {
    Ok(Reply::count(context.store.subscribers.pattern_count()))
}
