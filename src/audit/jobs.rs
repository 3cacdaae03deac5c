//! Compares jobs with their images and orders, and orders with their fulfilments and warehouse jobs.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::report::{Check, Report};
use super::{AuditError, BATCH, Sources};
use crate::db::schema::{fulfilments, images, jobs, orders};
use crate::db::{UnixMillis, now};
use crate::ids::{JobId, OrderId};
use crate::job_payloads::{EMAIL, MailTask, THUMBNAIL, WAREHOUSE, WEBHOOK, WarehouseTask, WebhookTask, kind_by_name};
use crate::jobs::JobState;

/// Jobs may be pruned up to this long before the retention is over, because the clocks of processes differ.
const KEEP_MARGIN: Duration = Duration::from_secs(60 * 60);

/// The row that a job is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    /// The image with this job id.
    ImageOfJob,
    Image(i64),
    Order(OrderId),
    /// No row.
    None,
    /// The payload is invalid.
    Unreadable,
}

#[derive(Queryable)]
struct Job {
    id: JobId,
    kind: String,
    payload: String,
}

impl Job {
    fn subject(&self) -> Subject {
        match kind_by_name(&self.kind) {
            Some(THUMBNAIL) => Subject::ImageOfJob,
            Some(WEBHOOK) => match serde_json::from_str(&self.payload) {
                Ok(WebhookTask { order_id, .. }) => Subject::Order(order_id),
                Err(_) => Subject::Unreadable,
            },
            Some(WAREHOUSE) => match serde_json::from_str(&self.payload) {
                Ok(WarehouseTask::Image { image_id, .. }) => Subject::Image(image_id),
                Ok(WarehouseTask::Order { order_id, .. }) => Subject::Order(order_id),
                Err(_) => Subject::Unreadable,
            },
            Some(EMAIL) => match serde_json::from_str(&self.payload) {
                Ok(MailTask::OrderConfirmed { order_id, .. }) => Subject::Order(order_id),
                Ok(_) => Subject::None,
                Err(_) => Subject::Unreadable,
            },
            Some(_) | None => Subject::None,
        }
    }
}

/// Compares every job with its subject, in batches.
pub(super) async fn compare(sources: &Sources, report: &mut Report) -> Result<(), AuditError> {
    let mut after = JobId::first_at(0);
    loop {
        let started = Instant::now();
        let batch = sources.database.read(move |connection| read(connection, after)).await?;
        let Some(last) = batch.last_id else { return Ok(()) };
        after = last;
        report.checked.jobs += batch.jobs;
        for (job, fault) in batch.faults {
            report.add(Check::Subject, format!("{} job {}", job.kind, job.id), fault);
        }
        sources.pause(started.elapsed()).await;
    }
}

struct Batch {
    jobs: u64,
    last_id: Option<JobId>,
    faults: Vec<(Job, String)>,
}

fn read(connection: &mut SqliteConnection, after: JobId) -> QueryResult<Batch> {
    connection.transaction(|connection| {
        let found: Vec<Job> = jobs::table
            .filter(jobs::id.gt(after))
            .order(jobs::id)
            .limit(BATCH)
            .select((jobs::id, jobs::kind, jobs::payload))
            .load(connection)?;
        let subjects = Subjects::of(connection, &found)?;
        let (jobs, last_id) = (found.len() as u64, found.last().map(|job| job.id));
        let faults = found.into_iter().filter_map(|job| Some((subjects.fault(&job)?, job)));
        Ok(Batch { jobs, last_id, faults: faults.map(|(fault, job)| (job, fault)).collect() })
    })
}

/// The subjects of some jobs that exist.
struct Subjects {
    jobs_with_image: HashSet<JobId>,
    images: HashSet<i64>,
    orders: HashSet<OrderId>,
}

impl Subjects {
    fn of(connection: &mut SqliteConnection, jobs: &[Job]) -> QueryResult<Self> {
        let (mut job_ids, mut image_ids, mut order_ids) = (Vec::new(), Vec::new(), Vec::new());
        for job in jobs {
            match job.subject() {
                Subject::ImageOfJob => job_ids.push(job.id),
                Subject::Image(id) => image_ids.push(id),
                Subject::Order(id) => order_ids.push(id),
                Subject::None | Subject::Unreadable => {}
            }
        }
        let of_jobs = images::table.filter(images::job_id.eq_any(job_ids)).select(images::job_id);
        let of_images = images::table.filter(images::id.eq_any(image_ids)).select(images::id);
        let of_orders = orders::table.filter(orders::id.eq_any(order_ids)).select(orders::id);
        Ok(Self {
            jobs_with_image: of_jobs.load(connection)?.into_iter().collect(),
            images: of_images.load(connection)?.into_iter().collect(),
            orders: of_orders.load(connection)?.into_iter().collect(),
        })
    }

    fn fault(&self, job: &Job) -> Option<String> {
        match job.subject() {
            Subject::ImageOfJob if !self.jobs_with_image.contains(&job.id) => {
                Some("its image does not exist".to_owned())
            }
            Subject::Image(id) if !self.images.contains(&id) => Some(format!("there is no image {id}")),
            Subject::Order(id) if !self.orders.contains(&id) => Some(format!("there is no order {id}")),
            Subject::Unreadable => Some("its payload is invalid".to_owned()),
            _ => None,
        }
    }
}

/// Compares every order with its fulfilment and its warehouse job, in batches.
pub(super) async fn compare_orders(sources: &Sources, report: &mut Report) -> Result<(), AuditError> {
    let keep = sources.keep_jobs.saturating_sub(KEEP_MARGIN);
    let kept_since = now().saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
    let mut after = String::new();
    loop {
        let started = Instant::now();
        let from = after.clone();
        let batch = sources.database.read(move |connection| read_orders(connection, &from)).await?;
        let Some(last) = batch.last() else { return Ok(()) };
        after = last.id.clone();
        for order in &batch {
            report.checked.orders += 1;
            if let Some(fault) = order.fault(kept_since) {
                report.add(Check::Job, format!("order {}", order.id), fault);
            }
        }
        sources.pause(started.elapsed()).await;
    }
}

struct Order {
    id: String,
    placed_at: UnixMillis,
    is_fulfilled: bool,
    /// The state of its warehouse job.
    job: Option<JobState>,
}

impl Order {
    fn fault(&self, kept_since: UnixMillis) -> Option<&'static str> {
        match self.job {
            _ if self.is_fulfilled => None,
            Some(JobState::Done) => Some("its warehouse job is done, but it is not fulfilled"),
            None if self.placed_at > kept_since => Some("it is not fulfilled, and it has no warehouse job"),
            _ => None,
        }
    }
}

fn read_orders(connection: &mut SqliteConnection, after: &str) -> QueryResult<Vec<Order>> {
    connection.transaction(|connection| {
        let rows: Vec<(String, UnixMillis)> = orders::table
            .filter(orders::id.gt(after))
            .order(orders::id)
            .limit(BATCH)
            .select((orders::id, orders::placed_at))
            .load(connection)?;
        let ids: Vec<&str> = rows.iter().map(|(id, _)| id.as_str()).collect();
        let fulfilled: HashSet<String> = fulfilments::table
            .filter(fulfilments::order_id.eq_any(&ids))
            .select(fulfilments::order_id)
            .load(connection)?
            .into_iter()
            .collect();
        let jobs: HashMap<Option<String>, JobState> = jobs::table
            .filter(jobs::kind.eq(WAREHOUSE.name).and(jobs::dedup.eq_any(&ids)))
            .select((jobs::dedup, jobs::state))
            .load::<(Option<String>, JobState)>(connection)?
            .into_iter()
            .collect();
        let order = |(id, placed_at): (String, UnixMillis)| {
            let (is_fulfilled, job) = (fulfilled.contains(&id), jobs.get(&Some(id.clone())).copied());
            Order { id, placed_at, is_fulfilled, job }
        };
        Ok(rows.into_iter().map(order).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(is_fulfilled: bool, job: Option<JobState>) -> Order {
        Order { id: "o".to_owned(), placed_at: 1_000, is_fulfilled, job }
    }

    #[test]
    fn an_order_is_fulfilled_or_has_a_job_unless_its_job_may_have_been_pruned() {
        for fine in [
            order(true, None),
            order(true, Some(JobState::Done)),
            order(false, Some(JobState::Queued)),
            order(false, Some(JobState::Dead)),
        ] {
            assert_eq!(fine.fault(0), None);
        }
        assert!(order(false, None).fault(0).is_some());
        assert_eq!(order(false, None).fault(2_000), None);
        assert!(order(false, Some(JobState::Done)).fault(0).is_some());
    }

    #[test]
    fn the_subject_of_a_job_is_in_its_payload() {
        let job = |kind: &str, payload: &str| {
            Job { id: JobId::generate(), kind: kind.to_owned(), payload: payload.to_owned() }.subject()
        };
        let order = |id: &str| Subject::Order(id.parse().unwrap());
        let image = r#"{"task":"image","imageId":7,"userId":1,"imagePath":"a.jpg"}"#;
        assert_eq!(job("warehouse", image), Subject::Image(7));
        assert_eq!(job("webhook", r#"{"orderId":"o-1","userId":7}"#), order("o-1"));
        assert_eq!(job("webhook", "{}"), Subject::Unreadable);
        let confirmed = r#"{"notice":"order_confirmed","userId":null,"orderId":"o-2","placedAt":1}"#;
        assert_eq!(job("email", confirmed), order("o-2"));
        assert_eq!(job("email", "{}"), Subject::Unreadable);
        assert_eq!(job("thumbnail", ""), Subject::ImageOfJob);
    }
}
