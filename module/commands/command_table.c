// SPDX-License-Identifier: Apache-2.0
// Every command as data: name, function, flags, and what COMMAND DOCS and HELP say of it.
#include "command_table.h"
#include "command_args.h"
#include "commands.h"

#define SINCE "1.0.0"
#define SINCE_2 "2.0.0"

// A key at argv[1] or, behind a subcommand's name, at argv[2].
#define KEY_SPEC(where, what)                                                                      \
    {                                                                                              \
        {.flags = what,                                                                            \
         .begin_search_type = REDISMODULE_KSPEC_BS_INDEX,                                          \
         .bs.index.pos = where,                                                                    \
         .find_keys_type = REDISMODULE_KSPEC_FK_RANGE,                                             \
         .fk.range = {0, 1, 0}},                                                                   \
            {0},                                                                                   \
    }
static RedisModuleCommandKeySpec key1_read[] =
    KEY_SPEC(1, REDISMODULE_CMD_KEY_RO | REDISMODULE_CMD_KEY_ACCESS);
static RedisModuleCommandKeySpec key1_insert[] =
    KEY_SPEC(1, REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_INSERT);
static RedisModuleCommandKeySpec key1_update[] =
    KEY_SPEC(1, REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_UPDATE);
static RedisModuleCommandKeySpec key1_delete[] =
    KEY_SPEC(1, REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_DELETE);
static RedisModuleCommandKeySpec key1_access_update[] =
    KEY_SPEC(1, REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_ACCESS | REDISMODULE_CMD_KEY_UPDATE);
static RedisModuleCommandKeySpec key2_read[] =
    KEY_SPEC(2, REDISMODULE_CMD_KEY_RO | REDISMODULE_CMD_KEY_ACCESS);
static RedisModuleCommandKeySpec key2_update[] =
    KEY_SPEC(2, REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_UPDATE);
static RedisModuleCommandKeySpec key2_delete[] =
    KEY_SPEC(2, REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_DELETE);

// A command's row: parent, name, function, flags, ACL categories, syntax, and for COMMAND DOCS a summary,
// complexity, version, arity, key, arguments and tips. deny-oom is for those that always grow: the server then
// refuses them itself. Those that may also not (a repeat, a heartbeat) ask for it: `full` of mod_call.
#define INFO(says, cost, from, n, keys, arguments, hints)                                          \
    {                                                                                              \
        .version = REDISMODULE_COMMAND_INFO_VERSION, .summary = says, .complexity = cost,          \
        .since = from, .arity = n, .key_specs = keys, .args = arguments, .tips = hints             \
    }
#define PARENT(name, says, from)                                                                   \
    { NULL, name, NULL, "", NULL, NULL, INFO(says, NULL, from, -2, NULL, NULL, NULL) }
const struct cmd_definition cmd_table[] = {
    {NULL, "KVROUTE.CREATE", cmd_create, "write deny-oom fast", "write fast",
     "key [option value ...]",
     INFO("Creates a pool", "O(1)", SINCE, -2, key1_insert, cmd_doc_create, NULL)},
    {NULL, "KVROUTE.ALTER", cmd_alter, "write fast", "write fast",
     "key option value [option value ...]",
     INFO("Changes options of a pool, all or none of those given", "O(1)", SINCE, -4, key1_update,
          cmd_doc_alter, NULL)},
    {NULL, "KVROUTE.INFO", cmd_info, "readonly", "read slow", "key",
     INFO("Options and counts of a pool", "O(N), N workers", SINCE, 2, key1_read, cmd_doc_key,
          NULL)},
    {NULL, "KVROUTE.DIGEST", cmd_digest, "readonly", "read slow", "key [LEARNT]",
     INFO("A digest of the logical state of a pool, or of what it has learnt",
          "O(N), N holdings, requests and sessions", SINCE, -2, key1_read, cmd_doc_digest, NULL)},
    PARENT("KVROUTE.WORKER", "Workers of a pool", SINCE),
    {"KVROUTE.WORKER", "SET", cmd_worker_set, "write", "write slow",
     "key worker [ADDR addr] [RANKS n] [CAPACITY blocks] [STATE ready|draining] "
     "[DRAIN ms] [TTL ms] [ROLE both|prefill|decode] [SPEED x] [MAXREQUESTS n] [LABELS n label "
     "...]",
     INFO("Registers, changes or renews a worker", "O(log N), N workers", SINCE, -4, key2_update,
          cmd_doc_worker_set, NULL)},
    {"KVROUTE.WORKER", "DEL", cmd_worker_del, "write", "write slow", "key worker",
     INFO("Removes a worker with its holdings and requests",
          "O(R + B), R requests of the worker, B their blocks; holdings are swept later", SINCE, 4,
          key2_delete, cmd_doc_worker, NULL)},
    {"KVROUTE.WORKER", "GET", cmd_worker_get, "readonly", "read slow", "key worker",
     INFO("A worker and the loads of its ranks", "O(log N + R), N workers, R ranks", SINCE, 4,
          key2_read, cmd_doc_worker, NULL)},
    {"KVROUTE.WORKER", "LIST", cmd_worker_list, "readonly", "read slow", "key",
     INFO("All workers in name order", "O(N), N instances", SINCE, 3, key2_read, cmd_doc_key,
          NULL)},
    {"KVROUTE.WORKER", "HELP", cmd_help, "readonly allow-loading allow-stale", "read slow", "",
     INFO("Lists the subcommands", "O(1)", SINCE, 2, NULL, NULL, NULL)},
    {NULL, "KVROUTE.REPORT", cmd_report, "write fast", "write fast", "key worker OK|FAILED",
     INFO("Tells how a call to a worker went; failures in a row open its circuit",
          "O(log N), N workers", SINCE, -4, key1_update, cmd_doc_report, NULL)},
    {NULL, "KVROUTE.EVENT", cmd_event, "write", "write slow",
     "key worker rank epoch seq op [op ...]",
     INFO("Tells which blocks an instance holds from now on, or no longer", "O(N), N blocks", SINCE,
          -7, key1_update, cmd_doc_event, NULL)},
    {NULL, "KVROUTE.SELECT", cmd_select, "write blocking getchannels-api", "write slow blocking",
     "key request blocks [ISL tokens] [OSL tokens] [LEASE ms] [AMONG n worker ...] [EXCLUDE "
     "n worker ...] [POLICY p] [OVERLAP x] [PREFILL x] [REQUESTS x] [TEMPERATURE x] "
     "[WITH n label ...] [WITHOUT n label ...] [SESSION name] [WAIT ms] [CLASS name] [FLOW name] "
     "[NOTIFY channel] [BLOCK] [PAIR]",
     INFO("Chooses an instance for a request and books the request on it",
          "O(B + N), B blocks, N instances", SINCE, -5, key1_access_update, cmd_doc_select,
          "nondeterministic_output")},
    {NULL, "KVROUTE.SCORE", cmd_score, "readonly", "read slow",
     "key blocks [the options of SELECT but LEASE, WAIT, CLASS, FLOW, NOTIFY, BLOCK, PAIR]",
     INFO("Scores every eligible instance for a request, least cost first",
          "O(B + N log N), B blocks, N instances", SINCE, -4, key1_read, cmd_doc_score, NULL)},
    {NULL, "KVROUTE.EXPLAIN", cmd_explain, "readonly", "read slow",
     "key blocks [the options of SCORE] [CLASS name] [FLOW name] [PAIR] [TOP n]",
     INFO("Why SELECT would choose what it would choose now: every instance's cost, term by term",
          "O(B + N log T), B blocks, N instances, T of them shown", SINCE_2, -4, key1_read,
          cmd_doc_explain, NULL)},
    PARENT("KVROUTE.DECISIONS", "A log of what was chosen, from what, and what became of it",
           SINCE_2),
    {"KVROUTE.DECISIONS", "ON", cmd_decisions_on, "write deny-oom", "write slow",
     "key n [BYTES b] [BLOCKS]",
     INFO("Logs the last decisions of this server, in so many records at most",
          "O(N), N records that are dropped", SINCE_2, -4, key2_update, cmd_doc_decisions_on,
          NULL)},
    {"KVROUTE.DECISIONS", "OFF", cmd_decisions_off, "write", "write slow", "key",
     INFO("Ends the log of decisions", "O(N), N records", SINCE_2, 3, key2_update, cmd_doc_key,
          NULL)},
    {"KVROUTE.DECISIONS", "CLEAR", cmd_decisions_clear, "write", "write slow", "key",
     INFO("Drops what is in the log of decisions", "O(N), N records", SINCE_2, 3, key2_update,
          cmd_doc_key, NULL)},
    {"KVROUTE.DECISIONS", "GET", cmd_decisions_get, "readonly", "read slow",
     "key [cursor] [COUNT n]",
     INFO("Records of the log of decisions, each a line of JSON", "O(N), N bytes of them", SINCE_2,
          -3, key2_read, cmd_doc_scan, "nondeterministic_output")},
    {"KVROUTE.DECISIONS", "INFO", cmd_decisions_info, "readonly fast", "read fast", "key",
     INFO("What is in the log of decisions, and its bounds", "O(1)", SINCE_2, 3, key2_read,
          cmd_doc_key, "nondeterministic_output")},
    {"KVROUTE.DECISIONS", "HELP", cmd_help, "readonly allow-loading allow-stale", "read slow", "",
     INFO("Lists the subcommands", "O(1)", SINCE_2, 2, NULL, NULL, NULL)},
    {NULL, "KVROUTE.UPDATE", cmd_update, "write fast", "write fast",
     "key request [PREFILLED] [OUTPUT tokens] [LEASE ms]",
     INFO("Tells how far a request has come and renews its lease", "O(log N), N live requests",
          SINCE, -3, key1_update, cmd_doc_update, NULL)},
    {NULL, "KVROUTE.RELEASE", cmd_release, "write", "write slow", "key request [request ...]",
     INFO("Ends requests", "O(B + M log N), M requests given, B their blocks, N live requests",
          SINCE, -3, key1_delete, cmd_doc_release, NULL)},
    {NULL, "KVROUTE.CLAIM", cmd_claim, "write deny-oom", "write slow",
     "key request worker rank blocks [ISL tokens] [CACHED tokens] [OUTPUT tokens] "
     "[PREFILLED] [LEASE ms] [OSL tokens] [SESSION name] [CLASS name] [FLOW name] [PREFILLER "
     "worker rank]",
     INFO("Books a request on an instance without choosing",
          "O(B + log N), B blocks, N live requests", SINCE, -7, key1_update, cmd_doc_claim, NULL)},
    PARENT("KVROUTE.REQUEST", "Live requests of a pool", SINCE),
    {"KVROUTE.REQUEST", "GET", cmd_request_get, "readonly fast", "read fast", "key request",
     INFO("A live request", "O(1)", SINCE, 4, key2_read, cmd_doc_request, NULL)},
    {"KVROUTE.REQUEST", "LIST", cmd_request_list, "readonly", "read slow", "key [cursor] [COUNT n]",
     INFO("Iterates over the ids of the live requests, as SCAN does",
          "O(1) for each call, O(N) for a whole iteration", SINCE, -3, key2_read, cmd_doc_scan,
          "nondeterministic_output")},
    {"KVROUTE.REQUEST", "HELP", cmd_help, "readonly allow-loading allow-stale", "read slow", "",
     INFO("Lists the subcommands", "O(1)", SINCE, 2, NULL, NULL, NULL)},
    PARENT("KVROUTE.SESSION", "Sessions of a pool", SINCE_2),
    {"KVROUTE.SESSION", "GET", cmd_session_get, "readonly fast", "read fast", "key session",
     INFO("Where a session's last booking went", "O(1)", SINCE_2, 4, key2_read, cmd_doc_session,
          NULL)},
    {"KVROUTE.SESSION", "LIST", cmd_session_list, "readonly", "read slow", "key [cursor] [COUNT n]",
     INFO("Iterates over the names of the sessions, as SCAN does",
          "O(1) for each call, O(N) for a whole iteration", SINCE_2, -3, key2_read, cmd_doc_scan,
          "nondeterministic_output")},
    {"KVROUTE.SESSION", "DEL", cmd_session_del, "write", "write slow", "key session [session ...]",
     INFO("Forgets sessions; their live requests go on", "O(M log N), M sessions given, N sessions",
          SINCE_2, -4, key2_delete, cmd_doc_session_del, NULL)},
    {"KVROUTE.SESSION", "HELP", cmd_help, "readonly allow-loading allow-stale", "read slow", "",
     INFO("Lists the subcommands", "O(1)", SINCE_2, 2, NULL, NULL, NULL)},
    PARENT("KVROUTE.CLASS", "Classes of those who wait", SINCE_2),
    {"KVROUTE.CLASS", "SET", cmd_class_set, "write", "write slow",
     "key class [PRIORITY p] [WEIGHT w] [WAITING n] [ROOM percent]",
     INFO("Creates or changes a class of requests that wait", "O(log N), N classes", SINCE_2, -4,
          key2_update, cmd_doc_class_set, NULL)},
    {"KVROUTE.CLASS", "DEL", cmd_class_del, "write", "write slow", "key class",
     INFO("Removes a class that nobody waits in", "O(N), N classes", SINCE_2, 4, key2_delete,
          cmd_doc_class, NULL)},
    {"KVROUTE.CLASS", "LIST", cmd_class_list, "readonly", "read slow", "key",
     INFO("All classes in name order, and who waits in them", "O(N), N classes", SINCE_2, 3,
          key2_read, cmd_doc_key, NULL)},
    {"KVROUTE.CLASS", "HELP", cmd_help, "readonly allow-loading allow-stale", "read slow", "",
     INFO("Lists the subcommands", "O(1)", SINCE_2, 2, NULL, NULL, NULL)},
    PARENT("KVROUTE.FLOW", "Flows of requests: tenants, with their shares and limits", SINCE_2),
    {"KVROUTE.FLOW", "SET", cmd_flow_set, "write", "write slow",
     "key flow [WEIGHT w] [REQUESTS n] [RATE tokens] [BURST tokens]",
     INFO("Registers a flow or changes its share and its limits", "O(1)", SINCE_2, -4, key2_update,
          cmd_doc_flow_set, NULL)},
    {"KVROUTE.FLOW", "DEL", cmd_flow_del, "write", "write slow", "key flow",
     INFO("Takes a flow's share and limits away", "O(1)", SINCE_2, 4, key2_delete, cmd_doc_flow,
          NULL)},
    {"KVROUTE.FLOW", "LIST", cmd_flow_list, "readonly", "read slow", "key [cursor] [COUNT n]",
     INFO("Iterates over the registered flows, as SCAN does",
          "O(1) for each call, O(N) for a whole iteration", SINCE_2, -3, key2_read, cmd_doc_scan,
          "nondeterministic_output")},
    {"KVROUTE.FLOW", "HELP", cmd_help, "readonly allow-loading allow-stale", "read slow", "",
     INFO("Lists the subcommands", "O(1)", SINCE_2, 2, NULL, NULL, NULL)},
    {NULL, "KVROUTE.QUEUE", cmd_queue, "readonly", "read slow", "key [COUNT n]",
     INFO("How many wait, for how long one more would, and the first of them",
          "O(N log N), N shown", SINCE_2, -2, key1_read, cmd_doc_queue, NULL)},
    {NULL, "KVROUTE.TREE", cmd_tree, "readonly", "read slow", "key [FROM hash] [DEPTH n] [COUNT n]",
     INFO("The prefix tree, run by run, with its holders", "O(N), N runs and holders shown", SINCE,
          -2, key1_read, cmd_doc_tree, "nondeterministic_output_order")},
    {NULL, "KVROUTE.HASH", cmd_hash, "readonly allow-loading allow-stale", "read slow",
     "blocksize blocks [FROM hash]",
     INFO("Prefix hashes of tokens or of block hashes", "O(N), N tokens or hashes", SINCE, -4, NULL,
          cmd_doc_hash, NULL)},
    {NULL, "KVROUTE.HELP", cmd_help, "readonly allow-loading allow-stale", "read slow", "",
     INFO("Lists the commands", "O(1)", SINCE, 1, NULL, NULL, NULL)},
    {NULL, "KVROUTE.FORGET", cmd_forget, "write", "write slow", "key at n",
     INFO("Drops predictions that are due; for replication only", "O(N), N predictions dropped",
          SINCE, 4, key1_delete, cmd_doc_forget, NULL)},
    {NULL, "KVROUTE.ENQUEUE", cmd_enqueue, "write", "write slow",
     "key request blocks [the options of SELECT]",
     INFO("A request begins to wait; for replication only", "O(B + log N), B blocks, N who wait",
          SINCE_2, -5, key1_update, cmd_doc_enqueue, NULL)},
    {NULL, "KVROUTE.ADMIT", cmd_admit, "write", "write slow",
     "key request worker rank [option ...]",
     INFO("A request that waits is booked; for replication only",
          "O(B + log N), B blocks, N live requests", SINCE_2, -5, key1_update, cmd_doc_admit,
          NULL)},
    {NULL, "KVROUTE.LOAD", cmd_load, "write", "write slow", "key chunk",
     INFO("Loads a chunk of a saved pool; for a rewritten AOF only", "O(N), N bytes", SINCE, 3,
          key1_insert, cmd_doc_load, NULL)},
};

const size_t cmd_table_size = sizeof cmd_table / sizeof cmd_table[0];

#undef KEY_SPEC
#undef INFO
#undef PARENT
#undef SINCE
#undef SINCE_2
