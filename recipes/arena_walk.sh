#!/usr/bin/env bash
# The whole walk on synthetic matches, in a few minutes on two cores: video and transcript, chunks, a very
# small model, commentary, score. What a real data set goes through too.
# Usage: recipes/arena_walk.sh [FOLDER]
set -euo pipefail
recipes=$(cd "$(dirname "$0")" && pwd)
folder=${1:-arena-walk}

svlm fetch arena:soccer,seed={1000001..1000003},minutes=2 --out "$folder/matches"
svlm align "$folder/matches"  # matches came with their words, which stay as they are
svlm chunk "$folder/matches" --out "$folder/dataset" --min-words-per-second 0 --split 0
svlm train "$recipes/arena_smoke.yaml" --out "$folder/run" --set stages.1.chunks.0.path="$folder/dataset"
svlm stream arena:soccer,seed=7,minutes=0.5 --model "$folder/run/stream/final" --out "$folder/words.vtt"
svlm bench arena --matches 1 --minutes 0.5 --model "$folder/run/stream/final" --out "$folder/bench"
