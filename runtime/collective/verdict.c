/* SPDX-License-Identifier: Apache-2.0 */
#include "collective/verdict.h"

#include <muster/types.h>

#include <stddef.h>

#include "base/assert.h"

/* One finding about one record. */
typedef struct finding {
    muster_status status;
    muster_field field;
    int64_t expected;
    int64_t came;
    int32_t tensor_index;
    int32_t native_code;
} finding;

static finding found(muster_status status, muster_field field, int64_t expected, int64_t came)
{
    const finding result = {status, field, expected, came, -1, 0};
    return result;
}

static finding nothing_found(void)
{
    return found(MUSTER_OK, MUSTER_FIELD_NONE, 0, 0);
}

static bool is_scope_call(uint32_t call)
{
    return call == MUSTER_CALL_PARAMS_GATHER || call == MUSTER_CALL_PARAMS_RELEASE;
}

/* Two records of different versions, jobs or epochs have nothing else to say to each other. */
static finding check_identity(const muster_record *reference, const muster_record *record)
{
    if (record->wire_version != reference->wire_version)
        return found(MUSTER_ERR_VERSION, MUSTER_FIELD_WIRE_VERSION, reference->wire_version,
                     record->wire_version);
    if (record->job != reference->job)
        return found(MUSTER_ERR_FOREIGN, MUSTER_FIELD_JOB, (int64_t)reference->job,
                     (int64_t)record->job);
    if (record->communicator != reference->communicator)
        return found(MUSTER_ERR_FOREIGN, MUSTER_FIELD_COMMUNICATOR,
                     (int64_t)reference->communicator, (int64_t)record->communicator);
    if (record->epoch != reference->epoch)
        return found(MUSTER_ERR_EPOCH, MUSTER_FIELD_EPOCH, (int64_t)reference->epoch,
                     (int64_t)record->epoch);
    return nothing_found();
}

static finding check_local(const muster_record *record)
{
    if (record->local_status == MUSTER_OK)
        return nothing_found();
    finding own = found((muster_status)record->local_status, (muster_field)record->local_field,
                        record->local_expected, record->local_came);
    own.tensor_index = record->local_tensor_index;
    own.native_code = record->local_native_code;
    return own;
}

static finding check_call(const muster_record *reference, const muster_record *record)
{
    if (record->sequence != reference->sequence)
        return found(MUSTER_ERR_SEQUENCE, MUSTER_FIELD_SEQUENCE, (int64_t)reference->sequence,
                     (int64_t)record->sequence);
    if (record->call != reference->call) {
        const bool scope = is_scope_call(record->call) || is_scope_call(reference->call);
        return found(scope ? MUSTER_ERR_SCOPE : MUSTER_ERR_CALL, MUSTER_FIELD_CALL, reference->call,
                     record->call);
    }
    if (record->root != reference->root)
        return found(MUSTER_ERR_ROOT, MUSTER_FIELD_ROOT, reference->root, record->root);
    if (record->phase != reference->phase)
        return found(MUSTER_ERR_PHASE, MUSTER_FIELD_PHASE, reference->phase, record->phase);
    if (record->tag != reference->tag)
        return found(MUSTER_ERR_TAG, MUSTER_FIELD_TAG, (int64_t)reference->tag,
                     (int64_t)record->tag);
    return nothing_found();
}

static finding check_tensors(const muster_record *reference, const muster_record *record)
{
    if (record->tensor_count != reference->tensor_count)
        return found(MUSTER_ERR_TENSOR_COUNT, MUSTER_FIELD_TENSOR_COUNT, reference->tensor_count,
                     record->tensor_count);
    if (record->dtype != reference->dtype)
        return found(MUSTER_ERR_DTYPE, MUSTER_FIELD_DTYPE, reference->dtype, record->dtype);
    if (record->dimension_count != reference->dimension_count)
        return found(MUSTER_ERR_FEATURE_DIMENSIONS, MUSTER_FIELD_DIMENSION_COUNT,
                     reference->dimension_count, record->dimension_count);
    for (int i = 0; i < MUSTER_DIMENSIONS_MAX - 1; i++) {
        if (record->feature_dimensions[i] != reference->feature_dimensions[i])
            return found(MUSTER_ERR_FEATURE_DIMENSIONS,
                         (muster_field)(MUSTER_FIELD_FEATURE_DIMENSION_1 + i),
                         reference->feature_dimensions[i], record->feature_dimensions[i]);
    }
    return nothing_found();
}

static finding check_lengths(const muster_record *reference, const muster_record *record)
{
    if (record->lengths_count != reference->lengths_count)
        return found(MUSTER_ERR_LENGTHS_COUNT, MUSTER_FIELD_LENGTHS_COUNT, reference->lengths_count,
                     record->lengths_count);
    /* The sums are what a person can read; equal sums of other lengths are found by the hash. */
    if (record->total_rows != reference->total_rows ||
        record->lengths_hash != reference->lengths_hash)
        return found(MUSTER_ERR_LENGTHS, MUSTER_FIELD_LENGTHS, reference->total_rows,
                     record->total_rows);
    return nothing_found();
}

static finding check_argument(const muster_record *reference, const muster_record *record)
{
    if (record->argument != reference->argument) {
        switch ((muster_call)record->call) {
        case MUSTER_CALL_PARAMS_GATHER:
        case MUSTER_CALL_PARAMS_RELEASE:
            return found(MUSTER_ERR_MODIFIER, MUSTER_FIELD_MODIFIER, reference->argument,
                         record->argument);
        case MUSTER_CALL_STEP_STAGE:
        case MUSTER_CALL_STEP_COMMIT:
            return found(MUSTER_ERR_STEP, MUSTER_FIELD_STEP, reference->argument, record->argument);
        case MUSTER_CALL_STEP_FETCH:
            return found(MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_SLOT, reference->argument,
                         record->argument);
        default:
            return found(MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, reference->argument,
                         record->argument);
        }
    }
    if (record->call == MUSTER_CALL_BROADCAST && record->own_rows != reference->own_rows)
        return found(MUSTER_ERR_OWN_ROWS, MUSTER_FIELD_OWN_ROWS, reference->own_rows,
                     record->own_rows);
    return nothing_found();
}

/* The first thing that is wrong with a record. Whatever is compared here must be compared whole: the
 * proof in verdict.h rests on "passes" meaning "equal in every checked field". */
static finding check_record(const muster_record *reference, const muster_record *record)
{
    finding result = check_identity(reference, record);
    if (result.status == MUSTER_OK)
        result = check_local(record);
    if (result.status == MUSTER_OK)
        result = check_call(reference, record);
    if (result.status == MUSTER_OK)
        result = check_tensors(reference, record);
    if (result.status == MUSTER_OK)
        result = check_lengths(reference, record);
    if (result.status == MUSTER_OK)
        result = check_argument(reference, record);
    return result;
}

static void take_finding(muster_verdict_summary *summary, const finding *what, int32_t rank)
{
    summary->status = what->status;
    summary->failing_rank = what->status == MUSTER_OK ? MUSTER_RANK_NONE : rank;
    summary->field = what->field;
    summary->expected = what->expected;
    summary->came = what->came;
    summary->tensor_index = what->tensor_index;
    summary->native_code = what->native_code;
}

muster_verdict_summary muster_verdict_of(const muster_record *record, int32_t rank)
{
    muster_verdict_summary summary = {
        .reference = *record,
        .first_rank = rank,
        .rank_count = 1,
        .p2p_send_digest = {record->p2p_send_digest[0], record->p2p_send_digest[1]},
        .p2p_receive_digest = {record->p2p_receive_digest[0], record->p2p_receive_digest[1]},
        /* A negative count is that rank's own failure; it must not make up for others' rows. */
        .rows_sum = record->own_rows > 0 ? record->own_rows : 0,
        .rows_overflow = false,
        .root_capacity_rows = -1,
        .root_total_rows = -1,
        .root_region_version = 0,
        .least_region_mapped_version = UINT64_MAX,
        .descriptors_rank = MUSTER_RANK_NONE,
        .memory_kind = record->memory_kind,
        .memory_kind_rank = record->memory_kind != 0 ? rank : MUSTER_RANK_NONE,
        .other_memory_kind_rank = MUSTER_RANK_NONE,
    };
    const finding own = check_local(record);
    take_finding(&summary, &own, rank);
    if (record->root == rank) {
        summary.root_capacity_rows = record->capacity_rows;
        summary.root_total_rows = record->total_rows;
        summary.root_region_version = record->region_version;
    } else if (record->own_rows > 0) {
        summary.least_region_mapped_version = record->region_mapped_version;
    }
    return summary;
}

/* The lowest rank in another kind of memory than the first rank that has any. */
static void merge_memory_kinds(muster_verdict_summary *left, const muster_verdict_summary *right)
{
    if (left->memory_kind == 0) {
        left->memory_kind = right->memory_kind;
        left->memory_kind_rank = right->memory_kind_rank;
        left->other_memory_kind = right->other_memory_kind;
        left->other_memory_kind_rank = right->other_memory_kind_rank;
    } else if (left->other_memory_kind_rank < 0 && right->memory_kind != 0) {
        const bool differs = right->memory_kind != left->memory_kind;
        left->other_memory_kind = differs ? right->memory_kind : right->other_memory_kind;
        left->other_memory_kind_rank =
            differs ? right->memory_kind_rank : right->other_memory_kind_rank;
    }
}

/* Appends right to left. Every line is associative by itself: first that is set, sum, or least. */
static void merge_into(muster_verdict_summary *left, const muster_verdict_summary *right)
{
    MUSTER_ASSERT(left->first_rank + left->rank_count == right->first_rank);
    if (left->status == MUSTER_OK) {
        const finding first = check_record(&left->reference, &right->reference);
        if (first.status != MUSTER_OK) {
            take_finding(left, &first, right->first_rank);
        } else {
            left->status = right->status;
            left->failing_rank = right->failing_rank;
            left->field = right->field;
            left->expected = right->expected;
            left->came = right->came;
            left->tensor_index = right->tensor_index;
            left->native_code = right->native_code;
        }
    }
    if (left->descriptors_rank < 0)
        left->descriptors_rank =
            left->reference.descriptors_hash != right->reference.descriptors_hash
                ? right->first_rank
                : right->descriptors_rank;
    merge_memory_kinds(left, right);
    for (int i = 0; i < 2; i++) {
        left->p2p_send_digest[i] += right->p2p_send_digest[i];
        left->p2p_receive_digest[i] += right->p2p_receive_digest[i];
    }
    left->rows_overflow = left->rows_overflow || right->rows_overflow;
    if (__builtin_add_overflow(left->rows_sum, right->rows_sum, &left->rows_sum)) {
        left->rows_overflow = true;
        left->rows_sum = INT64_MAX;
    }
    if (left->root_capacity_rows < 0)
        left->root_capacity_rows = right->root_capacity_rows;
    if (left->root_total_rows < 0)
        left->root_total_rows = right->root_total_rows;
    if (left->root_region_version == 0)
        left->root_region_version = right->root_region_version;
    if (right->least_region_mapped_version < left->least_region_mapped_version)
        left->least_region_mapped_version = right->least_region_mapped_version;
    left->rank_count += right->rank_count;
}

muster_verdict_summary muster_verdict_merge(const muster_verdict_summary *left,
                                            const muster_verdict_summary *right)
{
    muster_verdict_summary merged = *left;
    merge_into(&merged, right);
    return merged;
}

static bool digests_differ(const muster_verdict_summary *summary)
{
    return summary->p2p_send_digest[0] != summary->p2p_receive_digest[0] ||
           summary->p2p_send_digest[1] != summary->p2p_receive_digest[1];
}

muster_verdict muster_verdict_finish(const muster_verdict_summary *summary)
{
    const muster_record *reference = &summary->reference;
    const muster_call call = (muster_call)reference->call;
    muster_verdict verdict = {
        .status = summary->status,
        .rank = summary->failing_rank,
        .field = summary->field,
        .expected = summary->expected,
        .came = summary->came,
        .tensor_index = summary->tensor_index,
        .native_code = summary->native_code,
        .root_region_version = summary->root_region_version,
        .peer = MUSTER_RANK_NONE,
        .ordinal = -1,
    };
    if (verdict.status != MUSTER_OK)
        return verdict;
    if (summary->other_memory_kind_rank >= 0) {
        verdict.status = MUSTER_ERR_MEMORY_KIND;
        verdict.rank = summary->other_memory_kind_rank;
        verdict.field = MUSTER_FIELD_MEMORY_KIND;
        verdict.expected = summary->memory_kind;
        verdict.came = summary->other_memory_kind;
    } else if (summary->descriptors_rank >= 0) {
        verdict.status = MUSTER_ERR_FEATURE_DIMENSIONS;
        verdict.rank = summary->descriptors_rank;
        verdict.field = MUSTER_FIELD_DESCRIPTORS;
        verdict.needs_descriptors = true;
    } else if (digests_differ(summary)) {
        verdict.status = MUSTER_ERR_P2P_MISMATCH;
        verdict.field = MUSTER_FIELD_DESCRIPTORS;
        verdict.needs_descriptors = true;
    } else if (muster_call_has_lengths(call) && summary->rows_overflow) {
        verdict.status = MUSTER_ERR_OVERFLOW;
        verdict.field = MUSTER_FIELD_LENGTHS;
        verdict.expected = INT64_MAX;
    } else if (muster_call_has_lengths(call) && summary->root_capacity_rows >= 0 &&
               summary->rows_sum > summary->root_capacity_rows) {
        verdict.status = MUSTER_ERR_CAPACITY;
        verdict.rank = reference->root;
        verdict.field = MUSTER_FIELD_CAPACITY;
        verdict.expected = summary->rows_sum;
        verdict.came = summary->root_capacity_rows;
    } else {
        verdict.direct = muster_call_has_root(call) && summary->root_region_version > 0 &&
                         summary->least_region_mapped_version >= summary->root_region_version;
    }
    return verdict;
}

muster_verdict muster_verdict_of_records(const void *records, size_t stride_bytes, int32_t count)
{
    MUSTER_ASSERT(count > 0 && stride_bytes >= sizeof(muster_record));
    const char *place = records;
    muster_verdict_summary all = muster_verdict_of((const muster_record *)(const void *)place, 0);
    for (int32_t rank = 1; rank < count; rank++) {
        place += stride_bytes;
        const muster_verdict_summary one =
            muster_verdict_of((const muster_record *)(const void *)place, rank);
        merge_into(&all, &one);
    }
    return muster_verdict_finish(&all);
}
