# ft NAME BASE args
n=$1; b=$2; shift 2
HF_HUB_OFFLINE=1 taskset -c ${CORE:-1} .venv/bin/python training/train.py --recipe training/recipes/finetune.yaml --source speech_commands --data_dir /work/bg/scd3 --pretrained runs/$b --output_dir runs/ft/$n --overwrite --threads 1 "$@" > runs/ft_$n.log 2>&1
tr '\r' '\n' < runs/ft_$n.log | grep -a -E "epoch +[0-9]+  train|error|Error|output_dir" | tail -4
