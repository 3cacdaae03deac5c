-- The W3C trace context of the request that has enqueued the job (`traceparent`, version 00), if it had one.
ALTER TABLE jobs ADD COLUMN traceparent TEXT;
