// SPDX-License-Identifier: Apache-2.0
// The names of before, until the last of their users has been converted.
#pragma once
#include "tests/support/support_alloc.h"
#define testmem support_alloc
#define testmem_alloc support_alloc_use
#define testmem_all_free support_alloc_check_freed
