/* The tables of the index, format 1. A change of them is a new XPM_INDEX_VERSION. */
#ifndef XPM_DB_INDEX_SQL_H
#define XPM_DB_INDEX_SQL_H

/* state: index of xpm_index_states. key: the first 8 bytes of hash, sorting as they do. ordinal: the run's name, made to
 * sort by time. job_list is for people and for queries of one's own. */
#define XPM_INDEX_TABLES                                                                                               \
    "CREATE TABLE experiments(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"                                     \
    "CREATE TABLE tasks(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"                                           \
    "CREATE TABLE tags(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"                                            \
    "CREATE TABLE runs(id INTEGER PRIMARY KEY, experiment INTEGER NOT NULL, name TEXT NOT NULL, ordinal TEXT NOT NULL,"\
    "  hostname TEXT, started_at REAL, ended_at REAL, status TEXT, total INTEGER NOT NULL DEFAULT 0,"                  \
    "  done INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, UNIQUE(experiment, name));"                 \
    "CREATE INDEX runs_by_time ON runs(experiment, ordinal);"                                                          \
    "CREATE TABLE jobs(id INTEGER PRIMARY KEY, task INTEGER NOT NULL, key INTEGER NOT NULL, hash BLOB NOT NULL,"       \
    "  state INTEGER NOT NULL, reason TEXT, hostname TEXT, submitted_at REAL, started_at REAL, ended_at REAL,"         \
    "  exit_code INTEGER, signal INTEGER, cpu_seconds REAL, peak_memory INTEGER, tags BLOB);"                          \
    "CREATE INDEX jobs_by_key ON jobs(key);"                                                                           \
    "CREATE INDEX jobs_by_time ON jobs(submitted_at);"                                                                 \
    "CREATE INDEX jobs_by_state ON jobs(state, submitted_at);"                                                         \
    "CREATE INDEX jobs_by_task ON jobs(task, submitted_at);"                                                           \
    "CREATE TABLE run_jobs(run INTEGER NOT NULL, job INTEGER NOT NULL, PRIMARY KEY(run, job)) WITHOUT ROWID;"          \
    "CREATE INDEX runs_of_job ON run_jobs(job, run);"                                                                  \
    "CREATE TABLE job_tags(tag INTEGER NOT NULL, value TEXT NOT NULL, job INTEGER NOT NULL,"                           \
    "  PRIMARY KEY(tag, value, job)) WITHOUT ROWID;"                                                                   \
    "CREATE VIEW job_list AS SELECT j.id, t.name AS task, lower(hex(j.hash)) AS hash, CASE j.state"                    \
    "  WHEN 0 THEN 'unscheduled' WHEN 1 THEN 'waiting' WHEN 2 THEN 'ready' WHEN 3 THEN 'scheduled' WHEN 4 THEN"        \
    "  'running' WHEN 5 THEN 'done' ELSE 'error' END AS state, j.reason, j.hostname, j.submitted_at, j.started_at,"    \
    "  j.ended_at, j.exit_code, j.signal, j.cpu_seconds, j.peak_memory FROM jobs j JOIN tasks t ON t.id=j.task;"

#endif
