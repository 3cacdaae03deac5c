DROP TABLE job_delays;
