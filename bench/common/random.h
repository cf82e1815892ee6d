// SPDX-License-Identifier: Apache-2.0
// The names of before, until the last of their users has been converted.
#pragma once
#include "client/common/random.h"
#define random_next kvr_random
#define random_mix kvr_random_mix
#define random_unit kvr_random_unit
