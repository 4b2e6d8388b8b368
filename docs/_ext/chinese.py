"""The words of the Chinese site that gettext does not see; site_words puts them into the pages."""

# ruff: noqa: RUF001 - its punctuation

__all__ = ["CARDS", "COMMENTS", "ENGLISH_ONLY", "HEADINGS", "SUMMARIES", "THEME", "TITLES"]

# What a page without a catalogue says of itself, and how others name it.
ENGLISH_ONLY = "本页只有英文。"
TITLES = {
    "architecture": "架构",
    "benchmarks": "基准测试",
    "catalogue": "功能清单",
    "changelog": "更新日志",
    "changes-0.2": "从 0.1 到 0.2",
    "comparison": "与其他框架比较",
    "explanation/backward-not-tape": "显式的 backward，不用计算图",
    "explanation/index": "原理说明",
    "explanation/numerics": "数值",
    "explanation/numpy-limits": "NumPy 做不到的事",
    "explanation/one-vector": "所有参数在一个向量里",
    "explanation/overwriting": "梯度是覆盖，不是累加",
    "gallery/breast_cancer": "乳腺癌",
    "gallery/custom_layer": "自己写一个层",
    "gallery/data_parallel": "数据并行训练",
    "gallery/diabetes": "糖尿病",
    "gallery/digits": "手写数字",
    "gallery/gpt": "小型 GPT",
    "gallery/moons": "两个月牙",
    "gallery/optimizers": "九种优化器",
    "gallery/perceptron": "第一篇笔记的感知机",
    "gallery/pipeline": "scikit-learn 流水线",
    "gallery/seeing": "看清一个网络",
    "gallery/seq2seq": "倒着写单词",
    "gallery/two_layer_network": "笔记中的两层网络",
    "moving-to-keras": "迁移到 Keras，再迁回来",
    "moving-to-pytorch": "迁移到 PyTorch，再迁回来",
    "reference/datasets": "数据集",
    "reference/errors": "错误信息",
    "reference/index": "参考手册",
    "reference/initializers": "初始化器",
    "reference/interop": "其他软件",
    "reference/layers": "层",
    "reference/lessons": "课程",
    "reference/losses": "损失",
    "reference/metrics": "指标",
    "reference/objective": "目标（Objective）",
    "reference/optimizer": "优化器的约定",
    "reference/optimizers": "优化器",
    "reference/schedules": "学习率调度",
    "reference/seeing": "观察",
    "reference/storage": "模型文件",
    "reference/training": "训练与预测",
    "reference/types": "类型、异常与警告",
    "scaling": "多台机器",
}
# In <summary>, which is raw HTML.
SUMMARIES = {
    "What ask says to each": "ask 对每个病人的回答",
    "A wrong try": "一种错误的写法",
    "Answer": "答案",
    "Answers": "答案",
    "Answers to the questions": "各题的答案",
    "Hint": "提示",
    "The GPT of chapter 13, again: run it first": "再次写出第 13 章的 GPT：请先运行",
    "The same step in PyTorch": "PyTorch 中同样的一步",
}
# What a card of the gallery says of its example: the first sentence of the script.
CARDS = {
    "A multilayer perceptron and a small convolutional network.": "多层感知机和一个小型卷积网络。",
    "A network against a linear model, on a table where that is hard to beat.": (
        "神经网络与线性模型的比较：在这张表上，线性模型很难超过。"
    ),
    "An encoder and a decoder with attention learn to write them.": (
        "编码器和带注意力的解码器学习倒着写单词。"
    ),
    "Benign or malignant, with validation, early stopping and an ROC curve.": (
        "良性还是恶性：使用验证集、提前停止和 ROC 曲线。"
    ),
    "From its formula to a checked part of a network that trains.": (
        "从公式开始，到网络中一个通过检查、可以训练的部分。"
    ),
    "It writes in the style of Python's documentation, one character at a time.": (
        "模仿 Python 文档的风格，逐个字符地写。"
    ),
    "Its summary, every value of a step, and six pictures.": (
        "网络的摘要、一步中的每个值，以及六幅图。"
    ),
    "One batch on several processes or machines at once.": (
        "一个批次同时在几个进程或几台机器上计算。"
    ),
    "One unit with a sigmoid, on two clouds of points.": "一个带 sigmoid 的单元，数据是两团点。",
    "Scaling, a search over networks, and a held-out test.": "缩放、网络搜索和留出的测试集。",
    "The cost of the notes' network against gradient evaluations.": (
        "笔记中网络的代价随梯度求值次数的变化。"
    ),
    "Trained on the planar flower, step by step.": "在平面花形数据上一步一步地训练。",
    "Two moons, and how the decision boundary finds its way between them.": (
        "两个月牙，以及决策边界怎样从它们之间穿过。"
    ),
}
# Of numpydoc and of the templates, on the pages of the reference.
HEADINGS = {
    "Attributes": "属性",
    "Examples": "示例",
    "Examples that use it": "用到它的例子",
    "Notes": "说明",
    "Pages that use it": "用到它的页面",
    "Parameters": "参数",
    "Raises": "异常",
    "References": "参考文献",
    "Returns": "返回",
    "See Also": "另请参阅",
    "Warns": "警告",
    "Yields": "产出",
}
# What the theme has in English alone, as it stands in a page.
THEME = {
    "<title>Contents</title>": "<title>目录</title>",
    "<title>Dark mode</title>": "<title>深色</title>",
    "<title>Expand</title>": "<title>展开</title>",
    "<title>Light mode</title>": "<title>浅色</title>",
    "<title>Menu</title>": "<title>菜单</title>",
    "Auto light/dark, in dark mode": "自动：深色",
    "Auto light/dark, in light mode": "自动：浅色",
    "Copyright &#169;": "版权所有 &#169;",
    "Toggle Light / Dark / Auto color theme": "切换浅色、深色或自动",
    "Toggle navigation of ": "展开或收起：",
    "Toggle site navigation sidebar": "显示或隐藏导航栏",
    "Toggle table of contents sidebar": "显示或隐藏本页目录",
    "the authors of minifw; MIT licence": "minifw 的作者们；MIT 许可证",
}
# In the code of the translated pages.
COMMENTS = {
    '"fr" is new: its vector is 0': '"fr" 是新类别：它的向量是 0',
    '"tanh", as in the formula': '公式中用的是 "tanh"',
    "(..., time, w) each": "各为 (..., time, w)",
    "(1, 9): of the next letter": "(1, 9)：下一个字符的得分",
    "(1797, 1, 8, 8), 0 to 1": "(1797, 1, 8, 8)，从 0 到 1",
    "(1797,), 0 to 9": "(1797,)，从 0 到 9",
    "(2400, 3), in order": "(2400, 3)，从小到大",
    "(2400,) and (2400, 2, 1)": "(2400,) 和 (2400, 2, 1)",
    "(300, 7): 0 where a step is padding": "(300, 7)：填充的步为 0",
    "(300, 7): a target for each step": "(300, 7)：每步一个目标值",
    "(400, 2) and (400, 1): one example per row": "(400, 2) 和 (400, 1)：每行一个样本",
    "(569, 1), like the prediction": "(569, 1)，与预测值相同",
    "(797,) and (797, 10, 1)": "(797,) 和 (797, 10, 1)",
    "(batch, classes): the probabilities": "(batch, classes)：概率",
    "(batch, features), as a and b": "(batch, features)，与 a 和 b 相同",
    "(batch, time): rows of the lengths 5 and 3": "(batch, time)：两行，长度为 5 和 3",
    "(rows, classes), of the teacher": "(rows, classes)，来自教师网络",
    "0 is padding": "0 是填充",
    "0 log 0 counts as 0": "0 log 0 算作 0",
    "0, 1 or 2, of shape (400,)": "0、1 或 2，形状是 (400,)",
    "0.26, although there are 32 units": "0.26，尽管有 32 个单元",
    "0.26: it has learned no more than a line": "0.26：只学会了一条直线",
    "0.56; one column is in metres, the other in kilometres": (
        "0.56；一列以米为单位，另一列以千米为单位"
    ),
    "0: a new word, or a gap": "0：新的类别，或缺失值",
    "10 batches an epoch": "每轮 10 批",
    "32 batches of one shape": "32 个形状相同的批",
    "5 epochs of 3 batches: 128, 128 and 44 rows": "5 轮，每轮 3 批：128、128 和 44 行",
    "64 real, 64 made": "64 个真的，64 个生成的",
    "7 batches an epoch": "每轮 7 批",
    "a checkpoint does not look into it": "检查点不会搜索它",
    "a copy: no gradient goes back through it": "是副本：梯度不会经过它传回去",
    "a new word, a gap": "新的类别，缺失值",
    "a sensor was silent": "有个传感器没有读数",
    "adds 1 for each pair, also if it repeats": "每一对加 1，重复的也加",
    "after a bad beginning, all looks calm, and the loss is high": (
        "开头很糟，之后一切平静，损失却很高"
    ),
    "after the training part": "训练部分之后",
    "all arrays here have the shape of prediction": "这里所有数组的形状都与 prediction 相同",
    "another continuation": "另一种后续",
    "as Pillow gives it": "Pillow 给出的形式",
    "at first all 11 characters are alike": "开始时 11 个字符没有区别",
    "at most 1: no overflow": "不超过 1：不会溢出",
    "backward_adding adds to what is there": "backward_adding 加到已有的值上",
    "before NumPy is imported": "在导入 NumPy 之前",
    "better than the last value": "比直接用上一个值好",
    "dL/da for label 0": "标签为 0 时的 dL/da",
    "each character, and the next": "每个字符，以及它的下一个字符",
    "each row minus its mean": "每一行减去它的均值",
    "else predict makes x a float64 array": "否则 predict 会把 x 变成 float64 数组",
    "epochs 11 to 20": "第 11 到 20 轮",
    "fills and marks gaps": "填补并标记缺失值",
    "finds the quantiles of the training rows": "求出训练集的分位数",
    "for load_into, of PyTorch's two layers": "供 load_into 用，对应 PyTorch 的两层",
    "from 0 to 1, as in the paper": "从 0 到 1，与论文相同",
    "h_n and c_n": "h_n 和 c_n",
    "in C: 1 for Bonn, 2 for Jena, 3 for Ulm, 0 for any other": (
        "在 C 中：Bonn 是 1，Jena 是 2，Ulm 是 3，其他都是 0"
    ),
    "it counts": "它在数数",
    "it overflows: your turn": "会溢出：轮到你来改",
    "its constructor's arguments": "显示构造参数",
    "labels of the second domain count 0": "第二个域的标签权重为 0",
    "logits": "logit",
    "MeanLoss takes none": "MeanLoss 不用目标值",
    "measures the columns": "测量各列",
    "near log(2) = 0.69: the domain is hidden": "接近 log(2) = 0.69：已看不出是哪个域",
    "never whole in memory": "内存中从不存放全部数据",
    "no log(0)": "避免 log(0)",
    "None: pd.NA": "None：即 pd.NA",
    "NumPy's own warnings": "NumPy 自己的警告",
    "of the product x s, only the derivative by x": "乘积 x s 的导数，只写了对 x 的部分",
    "of the row of length 3": "属于长度为 3 的那一行",
    "of this page alone; a program names what it imports": (
        "只在本页这样写；程序中应当逐个写出要导入的名称"
    ),
    "once per epoch": "每轮一次",
    "one generator for all": "全部共用一个随机数生成器",
    "one side only": "只用一侧的差分",
    "or plain words": "也可以是普通字符串",
    "over the batch": "在整个批上求和",
    "padding changes nothing": "填充不改变结果",
    "pd.NA becomes NaN": "pd.NA 变成 NaN",
    "points like x out of the noise y": "由噪声 y 生成像 x 那样的点",
    "returns a logit": "输出 logit",
    "row numbers": "行号",
    "sets both grads, returns dx": "写入两个 grad，返回 dx",
    "sorted: first all points of class 0": "已排序：先是类别 0 的所有点",
    "still the flower": "仍是花形数据",
    "tables of pandas, or arrays": "pandas 的表格，或者数组",
    "temperature 0.7": "温度 0.7",
    "temperature, pressure, current": "温度、压力、电流",
    "the data are N(3, 0.5)": "数据服从 N(3, 0.5)",
    "the generator": "训练生成器",
    "the input is the logit, and the bias has its gradient": (
        "输入就是 logit，偏置得到 logit 的梯度"
    ),
    "the last Dense": "最后一个 Dense",
    "the last of the three numbers is the bias": "三个数中的最后一个是偏置",
    "the loss begins above 10, and falls slowly": "损失从 10 以上开始，降得很慢",
    "the loss falls by less than 0.001 an epoch": "损失每轮下降不到 0.001",
    "the loss stays at 0.69": "损失停在 0.69",
    "the loss stays at 0.693, from the first step to the last": (
        "从第一步到最后一步，损失一直是 0.693"
    ),
    "the model has the mean": "此时模型中是平均值",
    "the next step begins a new text": "下一步开始一段新的文本",
    "the next value": "下一个值",
    "the padding comes last": "填充在末尾",
    "the second domain lies elsewhere": "第二个域在别处",
    "the training is the same": "训练过程相同",
    "their shapes": "检查形状",
    "three characters and the next": "三个字符和下一个",
    "tomorrow, in another process": "第二天，在另一个进程中",
    "train it first": "请先训练它",
    "train the critic": "训练判别器",
    "two outputs, one for each class; the loss stays above 0.31": (
        "两个输出，每个类别一个；损失一直高于 0.31"
    ),
    "which learning rate?": "该用多大的学习率？",
    "who gets y may write into it": "调用者可能会改写 y",
    "without minifw": "不用 minifw",
    "words 1 to 8": "词 1 到 8",
    "x, and 0.1 (e^x - 1) below 0": "x；小于 0 时为 0.1 (e^x - 1)",
    "y = x^2": "y = x^2",
    "your turn": "轮到你来写",
}
