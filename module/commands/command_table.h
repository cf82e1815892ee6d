// SPDX-License-Identifier: Apache-2.0
// Every command as data: name, function, flags, and what COMMAND DOCS and HELP say of it.
#ifndef CMD_COMMAND_TABLE_H
#define CMD_COMMAND_TABLE_H

#include "commands.h"

extern const struct cmd_definition cmd_table[]; // parents before their subcommands
extern const size_t cmd_table_size;

#endif
