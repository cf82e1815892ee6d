// SPDX-License-Identifier: Apache-2.0
// The names of before, until the last of their users has been converted.
#pragma once
#include "tests/support/support_needs.h"
#define needs_python support_needs_python
#define needs_program support_needs_program
