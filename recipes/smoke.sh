#!/usr/bin/env bash
# Overfits a tiny checkpoint on up to four chunks of the beginning of any clip of four seconds or more, until greedy
# streaming repeats invented words: the whole path of supervised fine-tuning in two minutes on two cores.
# Usage: recipes/smoke.sh CLIP [FOLDER [VOCABULARY]]
# What an earlier run left in FOLDER (smoke) goes, but for the random checkpoint. The vocabulary is that of the dev extra's packages, Qwen's, or a .tiktoken file or a folder with a tokenizer.
set -euo pipefail
recipe=$(cd "$(dirname "$0")" && pwd)/smoke.yaml
clip=${1:?a video of four seconds or more}
if [ -e "$clip" ]; then clip=$(realpath -- "$clip"); fi
folder=${2:-smoke}
vocabulary=${3:-}

mkdir -p "$folder"
rm -rf "$folder/clips" "$folder/dataset" "$folder/run"
cat >"$folder/words.vtt" <<'WORDS'
WEBVTT

00:00:00.100 --> 00:00:00.900
the red sleeve pulls first

00:00:01.100 --> 00:00:01.900
blue holds his wrist high

00:00:02.100 --> 00:00:02.900
now the crowd leans in

00:00:04.100 --> 00:00:04.900
what a grip he has

00:00:05.100 --> 00:00:05.900
look at that shoulder

00:00:06.100 --> 00:00:06.900
down it goes slowly

00:00:07.100 --> 00:00:07.900
then all at once

00:00:08.100 --> 00:00:08.900
he has won it

00:00:09.100 --> 00:00:09.900
and they shake hands
WORDS

if [ ! -e "$folder/random" ]; then
    python -m svlm_cli.model.random_checkpoint "$folder/random" --size tiny ${vocabulary:+--vocabulary "$vocabulary"}
fi
svlm fetch "$clip" --out "$folder/clips"
svlm align "$folder/clips" --transcript-from "$folder/words.vtt"
svlm chunk "$folder/clips" --out "$folder/dataset" --window 4 --overlap 2 --min-words-per-second 0 --split 0
svlm train "$recipe" --out "$folder/run" --set model.base="$folder/random" \
    --set stages.0.chunks.0.path="$folder/dataset"
video=$folder/clips/$(python -c 'import json, sys; print(json.loads(sys.stdin.readline())["path"])' <"$folder/clips/videos.jsonl")
python - "$folder/dataset/train_s2w4_with_seeks.jsonl" <<'CHUNKS' | while IFS=$'\t' read -r start previous; do
import json, sys
for line in open(sys.argv[1], encoding="utf-8"):
    video, told = json.loads(line)[0]["content"][:2]
    print(video["video_start"], told["previous"], sep="\t")
CHUNKS
    echo "from second $start:"
    svlm stream "$video" --model "$folder/run/sft/final" --greedy --quiet \
        --start "$start" --duration 4 --previous-text "$previous" </dev/null
done
